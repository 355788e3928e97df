package layers

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"lattice/app"
	"lattice/internal/run"
)

const (
	atOnce   = 8                // layers that are given at the same time; who comes then is refused
	sendTime = 30 * time.Second // for a piece of a layer to be taken
)

// A Store has layers. The reader is to be closed; it is app.ErrNotFound when the
// layer is not there, or not whole.
type Store interface {
	Layer(ctx context.Context, digest string) (r io.ReadCloser, size int64, err error)
}

// A Giver is an http.Handler that gives the layers of a store to other cells.
type Giver struct {
	store Store
	trust Trust
	slots chan struct{}
}

// NewGiver returns a Giver.
func NewGiver(s Store, t Trust) *Giver { return &Giver{s, t, make(chan struct{}, atOnce)} }

// TLSConfig is what it must be served with.
func (g *Giver) TLSConfig() *tls.Config { return g.trust.config() }

var digests = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

func (g *Giver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	digest, ok := strings.CutPrefix(req.URL.Path, app.LayersPath)
	if req.Method != http.MethodGet || !ok || !digests.MatchString(digest) {
		http.NotFound(w, req)
		return
	}
	select {
	case g.slots <- struct{}{}:
		defer func() { <-g.slots }()
	default:
		http.Error(w, "as many layers are being given as may be", http.StatusServiceUnavailable)
		return
	}
	r, size, err := g.store.Layer(req.Context(), digest)
	if errors.Is(err, app.ErrNotFound) {
		http.NotFound(w, req)
		return
	}
	if err != nil {
		http.Error(w, "the layer can't be read", http.StatusInternalServerError)
		return
	}
	defer r.Close()
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
	if n, err := io.CopyBuffer(patient{w, req, http.NewResponseController(w)}, onlyReader{r}, make([]byte, 128<<10)); err != nil || n != size {
		panic(http.ErrAbortHandler) // cuts the connection, so that nobody takes it for whole
	}
}

// onlyReader hides what else a reader can, so that pieces are of one size.
type onlyReader struct{ io.Reader }

// A patient writer gives each piece its time.
type patient struct {
	http.ResponseWriter
	req *http.Request
	ctl *http.ResponseController
}

func (p patient) Write(b []byte) (n int, err error) {
	if err := p.ctl.SetWriteDeadline(time.Now().Add(sendTime)); err != nil {
		return 0, err
	}
	err = run.Gather(p.req, func() error { n, err = p.ResponseWriter.Write(b); return err })
	return n, err
}
