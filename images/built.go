package images

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"

	"lattice/app"
)

func (r *Registry) builtPath() string { return filepath.Join(r.cfg.Dir, "built.json") }

// loadBuilt reads how images were built.
func (r *Registry) loadBuilt() error {
	data, err := os.ReadFile(r.builtPath())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(data, &r.built)
	}
	if err != nil {
		return fmt.Errorf("read how images were built: %w", err)
	}
	return nil
}

// noteBuilt takes note of a manifest that was pushed, if a build did that.
func (r *Registry) noteBuilt(repo, dgst string, req *http.Request) {
	if dgst == "" || r.cfg.Built == nil {
		return
	}
	how := r.cfg.Built(req)
	if how == nil {
		return
	}
	r.changeBuilt(func(all map[string]app.BuiltImage) { all[repo+"@"+dgst] = *how })
}

func (r *Registry) builtOf(repo, dgst string) *app.BuiltImage {
	r.mu.Lock()
	defer r.mu.Unlock()
	if how, ok := r.built[repo+"@"+dgst]; ok {
		return &how
	}
	return nil
}

func (r *Registry) forgetBuilt(repo, dgst string) {
	if r.builtOf(repo, dgst) != nil {
		r.changeBuilt(func(all map[string]app.BuiltImage) { delete(all, repo+"@"+dgst) })
	}
}

// changeBuilt lets fn change what is known, and writes it down. It is only for
// people to look at.
func (r *Registry) changeBuilt(fn func(map[string]app.BuiltImage)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := maps.Clone(r.built)
	fn(next)
	r.built = next
	data, err := json.Marshal(next)
	if err == nil {
		err = writeFile(r.builtPath(), data)
	}
	if err != nil {
		r.cfg.Log.Warn("how an image was built is not kept", "err", err)
	}
}
