//go:build bundle

package node

import (
	"bytes"
	_ "embed"
	"io"

	"lattice/app"
)

// hello is the image of examples/hello as an OCI archive; `make build` makes it.
//
//go:embed bundle/hello.tar
var hello []byte

// bundledImages returns the images that need no registry.
func bundledImages() map[string]func() (io.ReadCloser, error) {
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(hello)), nil }
	return map[string]func() (io.ReadCloser, error){
		"lattice/hello": open,
		app.BuildImage:  open, // whose program is mounted: any files will do
	}
}
