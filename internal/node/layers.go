package node

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"time"

	"lattice/cells/layers"
	"lattice/cluster"
	"lattice/internal/config"
	"lattice/internal/pki"
	"lattice/internal/run"
)

// pullFrom is containerd.Config.Registry.
func (c *cell) pullFrom() (*url.URL, http.RoundTripper) {
	base, _ := c.client.Registry()
	return base, c.taker
}

// trust is how this cell knows other cells.
func (c *cell) trust() layers.Trust {
	return layers.Trust{
		CA: func() string { return c.stay.known().CA }, Certificate: c.stay.certificate, Cell: pki.CellOf,
		Member: func(id string) bool {
			return slices.ContainsFunc(c.members.Members(), func(m cluster.Member) bool { return m.Meta.Cell == id })
		},
	}
}

// listenLayers opens the port at which other cells get layers. A cell is of use
// without it, so that the usual one is taken is no reason to stop.
func (c *cell) listenLayers() (err error) {
	if c.cfg.Layers == config.Off {
		return nil
	}
	c.layersLn, err = net.Listen("tcp", c.cfg.Layers)
	switch {
	case err == nil:
	case c.cfg.Layers == config.DefaultLayers:
		c.log.Warn("other cells can't get layers of images from this one: choose another port with --layers", "addr", c.cfg.Layers, "err", err)
		c.layersLn = nil
	default:
		return fmt.Errorf("layers of images can't be given at %s: %w", c.cfg.Layers, err)
	}
	return nil
}

// giveLayers serves other cells.
func (c *cell) giveLayers(ctx context.Context) error {
	g := layers.NewGiver(c.runtime, c.trust())
	srv := &http.Server{
		Handler: g, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(c.log.With("part", "layers").Handler(), slog.LevelDebug),
	}
	return run.HTTP(tls.NewListener(run.Gathering(c.layersLn, srv), g.TLSConfig()), srv, drain)(ctx)
}
