package cells

import "slices"

// maxImages is how many names of images a report has.
const maxImages = 64

// has notes that an image is on the cell.
func (a *Agent) has(image string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.noteImage(image)
}

// noteImage is has for who holds a.mu.
func (a *Agent) noteImage(image string) {
	if i := slices.Index(a.images, image); i >= 0 {
		a.images = slices.Delete(a.images, i, i+1)
	}
	a.images = append(a.images, image)
	if len(a.images) > maxImages {
		a.images = slices.Delete(a.images, 0, 1)
	}
}

// someImages returns the images that were used last.
func (a *Agent) someImages() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Sorted(slices.Values(a.images))
}
