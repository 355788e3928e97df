package images

import (
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"time"
)

// useSaved is how exact the time of the last use is over a restart.
const useSaved = time.Hour

// use takes note that somebody wants an image.
func (r *Registry) use(name, dgst string) {
	key, now := name+"@"+dgst, time.Now()
	r.mu.Lock()
	before := r.used[key]
	r.used[key] = now
	all := maps.Clone(r.used)
	r.mu.Unlock()
	if now.Sub(before) < useSaved {
		return
	}
	if err := r.saveUses(all); err != nil {
		r.cfg.Log.Warn("when an image was used is not kept", "image", key, "err", err)
	}
}

func (r *Registry) usesPath() string { return filepath.Join(r.cfg.Dir, "uses.json") }

func (r *Registry) saveUses(all map[string]time.Time) error {
	data, err := json.Marshal(all)
	if err != nil {
		return err
	}
	return writeFile(r.usesPath(), data)
}

// loadUses reads when images were used. Without it they count as used now.
func (r *Registry) loadUses() error {
	data, err := os.ReadFile(r.usesPath())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if json.Unmarshal(data, &r.used) != nil || r.used == nil {
		r.used = map[string]time.Time{}
	}
	return nil
}
