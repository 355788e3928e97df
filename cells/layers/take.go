package layers

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"lattice/app"
)

const (
	dialTime   = 2 * time.Second  // to connect to a cell
	answerTime = 5 * time.Second  // until it answers
	stallTime  = 15 * time.Second // without a byte it is given up
	onceIn     = 10 * time.Minute // a layer that is wanted again was no good: then the brain
	maxPlaces  = 3                // that are tried
	maxTaken   = 10_000           // layers that are remembered
)

// A Taker is the way to the brain's registry that takes layers from other cells
// where it can.
type Taker struct {
	Brain http.RoundTripper
	cells *http.Transport
	log   *slog.Logger

	mu    sync.Mutex // guards taken
	taken map[string]time.Time
}

// NewTaker returns a Taker. brain is the way to the brain.
func NewTaker(brain http.RoundTripper, t Trust, log *slog.Logger) *Taker {
	return &Taker{Brain: brain, log: log, taken: map[string]time.Time{}, cells: &http.Transport{
		DialContext:           (&net.Dialer{Timeout: dialTime}).DialContext,
		TLSClientConfig:       t.config(),
		TLSHandshakeTimeout:   dialTime,
		ResponseHeaderTimeout: answerTime,
		MaxIdleConnsPerHost:   atOnce,
		IdleConnTimeout:       30 * time.Second,
		DisableCompression:    true,
	}}
}

var layer = regexp.MustCompile(`^/v2/.+/blobs/(sha256:[0-9a-f]{64})$`)

// RoundTrip asks the brain, and cells that it names.
func (t *Taker) RoundTrip(req *http.Request) (*http.Response, error) {
	m := layer.FindStringSubmatch(req.URL.Path)
	if m == nil || req.Method != http.MethodGet || req.Header.Get("Range") != "" || !t.first(m[1]) {
		return t.Brain.RoundTrip(req)
	}
	ask := req.Clone(req.Context())
	ask.Header.Set(app.LayersHeader, "take")
	resp, err := t.Brain.RoundTrip(ask)
	if err != nil || resp.StatusCode != http.StatusSeeOther {
		return resp, err
	}
	places := strings.Split(resp.Header.Get(app.LayersHeader), ",")
	resp.Body.Close()
	for _, place := range places[:min(maxPlaces, len(places))] {
		got, err := t.from(req.Context(), place, m[1])
		if err == nil {
			t.log.Debug("a layer comes from another cell", "addr", place, "digest", m[1])
			got.Request = req
			return got, nil
		}
		if req.Context().Err() != nil {
			return nil, req.Context().Err()
		}
		t.log.Debug("a cell does not give a layer that it should have", "addr", place, "err", err)
	}
	return t.Brain.RoundTrip(req)
}

// first reports whether a layer was not wanted a moment ago.
func (t *Taker) first(digest string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if now.Sub(t.taken[digest]) < onceIn {
		return false
	}
	if len(t.taken) >= maxTaken {
		clear(t.taken)
	}
	t.taken[digest] = now
	return true
}

// from asks one cell.
func (t *Taker) from(ctx context.Context, place, digest string) (*http.Response, error) {
	ctx, cancel := context.WithCancel(ctx)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+place+app.LayersPath+digest, nil)
	if err != nil {
		cancel()
		return nil, err
	}
	resp, err := t.cells.RoundTrip(req)
	if err == nil && (resp.StatusCode != http.StatusOK || resp.ContentLength < 0) {
		resp.Body.Close()
		err = errors.New(resp.Status)
	}
	if err != nil {
		cancel()
		return nil, err
	}
	resp.Body = &watched{resp.Body, time.AfterFunc(stallTime, cancel), cancel}
	return resp, nil
}

// A watched body breaks off when nothing comes any more. Whoever reads it goes on
// then with what is missing, which is asked of the brain.
type watched struct {
	io.ReadCloser
	stalled *time.Timer
	cancel  context.CancelFunc
}

func (w *watched) Read(b []byte) (int, error) {
	w.stalled.Reset(stallTime)
	n, err := w.ReadCloser.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (w *watched) Close() error {
	w.stalled.Stop()
	w.cancel()
	return w.ReadCloser.Close()
}
