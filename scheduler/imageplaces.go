package scheduler

import (
	"maps"
	"slices"
	"time"

	"lattice/app"
)

// ImagePlaces returns which cells have said that they have an image, by
// app.App.Pulled; cells name those that they used last.
func (s *Scheduler) ImagePlaces() map[string][]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := map[string][]string{}
	for _, cell := range slices.Sorted(maps.Keys(s.reports)) {
		for _, image := range s.reports[cell].Images {
			at[image] = append(at[image], cell)
		}
	}
	return at
}

// PruneCells has all cells delete images that nothing there needs and that are
// unused for so long. Cells that are away hear of it when they are back, as long
// as this process runs.
func (s *Scheduler) PruneCells(unused time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.prune = &app.PruneOrder{At: time.Now().UTC(), Unused: app.Duration(unused)}
	for cell := range s.seen {
		s.announceWork(cell)
	}
	s.revision++
	s.announce()
}
