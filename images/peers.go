package images

import (
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"

	"lattice/app"
)

const (
	maxHolders = 32                     // cells that are known to have a layer
	maxHeld    = 20_000                 // layers of which that is known
	maxHints   = 3                      // cells that are named to one who asks
	settled    = 300 * time.Millisecond // after which a cell that was sent a layer has it
	onItsWay   = 3 * time.Second        // the same for one that was told where it is
	smallLayer = 256 << 10              // bytes; below, to send it is quicker than to say who has it
)

// A holder is a cell that was sent a layer.
type holder struct {
	cell string
	from time.Time // from when on it has it
}

// hint answers a cell with the names of others that have the layer it wants,
// where there are some, and reports whether it did. What the brain remembers of
// that is lost with its process, and comes back as layers are sent.
func (r *Registry) hint(w http.ResponseWriter, req *http.Request, name, dgst string) bool {
	if req.Header.Get(app.LayersHeader) == "" {
		return false
	}
	asks := r.cfg.Cell(req)
	if asks == "" {
		return false
	}
	if size, ok := r.blobSize(req.Context(), name, dgst); ok && size < smallLayer {
		return false
	}
	places := r.cfg.Peers(r.holders(dgst, asks))
	if len(places) == 0 {
		return false
	}
	r.hold(dgst, asks, onItsWay)
	w.Header().Set(app.LayersHeader, strings.Join(places[:min(maxHints, len(places))], ","))
	w.WriteHeader(http.StatusSeeOther)
	return true
}

// hold takes note that a cell gets a layer.
func (r *Registry) hold(dgst, cell string, after time.Duration) {
	if cell == "" {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	all := slices.DeleteFunc(r.held[dgst], func(h holder) bool { return h.cell == cell })
	if len(all) >= maxHolders {
		all = slices.Delete(all, 0, 1)
	}
	if len(all) == 0 && len(r.held) >= maxHeld {
		for old := range r.held { // any
			delete(r.held, old)
			break
		}
	}
	r.held[dgst] = append(all, holder{cell, time.Now().Add(after)})
}

// holders returns the cells that have a layer, but for one, in any order.
func (r *Registry) holders(dgst, but string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var cells []string
	for _, h := range r.held[dgst] {
		if h.cell != but && time.Since(h.from) > 0 {
			cells = append(cells, h.cell)
		}
	}
	rand.Shuffle(len(cells), func(i, j int) { cells[i], cells[j] = cells[j], cells[i] })
	return cells
}
