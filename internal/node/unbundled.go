//go:build !bundle

package node

import "io"

// bundledImages returns none: this binary was built without `make build`, and
// lattice/hello is looked for in a registry.
func bundledImages() map[string]func() (io.ReadCloser, error) { return nil }
