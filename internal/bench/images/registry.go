package main

import (
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"

	"github.com/google/go-containerregistry/pkg/name"
	memory "github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// A registry keeps one image in memory and counts what of it leaves.
type registry struct {
	host *host
	now  atomic.Pointer[http.Handler]
	left atomic.Int64 // bytes of layers and configs
}

func newRegistry(h *host) (*registry, error) {
	r := &registry{host: h}
	var ln net.Listener
	if err := h.inside(func() (err error) { ln, err = net.Listen("tcp", h.addr+":5000"); return err }); err != nil {
		return nil, err
	}
	go func() {
		log.Println(http.Serve(ln, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if req.Method == http.MethodGet && strings.Contains(req.URL.Path, "/blobs/") {
				w = counted{w, &r.left}
			}
			(*r.now.Load()).ServeHTTP(w, req)
		})))
	}()
	return r, nil
}

type counted struct {
	http.ResponseWriter
	n *atomic.Int64
}

func (c counted) Write(b []byte) (int, error) {
	n, err := c.ResponseWriter.Write(b)
	c.n.Add(int64(n))
	return n, err
}

// fresh puts a new image in the place of the last one, and counts anew.
func (r *registry) fresh(repo string) (image string, size int64, err error) {
	h := memory.New(memory.Logger(log.New(io.Discard, "", 0)))
	img, err := random.Image(layerBytes, layerCount)
	if err != nil {
		return "", 0, err
	}
	srv := httptest.NewServer(h)
	defer srv.Close()
	ref, err := name.ParseReference(strings.TrimPrefix(srv.URL, "http://") + "/" + repo + ":1")
	if err != nil {
		return "", 0, err
	}
	if err := remote.Write(ref, img); err != nil {
		return "", 0, err
	}
	m, err := img.Manifest()
	if err != nil {
		return "", 0, err
	}
	size = m.Config.Size
	for _, l := range m.Layers {
		size += l.Size
	}
	r.now.Store(&h)
	r.left.Store(0)
	return r.host.addr + ":5000/" + repo + ":1", size, nil
}
