package images

import (
	"context"
	"io"
	"net/http"
	"os"
	"strconv"
	"sync"

	"github.com/opencontainers/go-digest"

	"lattice/app"
	"lattice/internal/run"
)

// A fetch is a blob on its way here. All who ask for it are sent what has come so
// far, and the rest as it comes.
type fetch struct {
	mu   sync.Mutex    // guards what follows
	news chan struct{} // closed at the next change
	progress
}

// progress is how far a fetch is.
type progress struct {
	path string // of the file that grows; empty: nothing has come yet
	size int64  // of the whole; -1: not known
	came int64  // bytes that are in the file
	all  bool   // they are all there is; whether they are what was asked for is seen when they are kept
	lost bool   // another file has the rest: a second source went on
	done bool   // it is where it belongs, or failed
	err  error  // when done
}

// change lets fn alter f and wakes who waits.
func (f *fetch) change(fn func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fn()
	close(f.news)
	f.news = make(chan struct{})
}

// look returns f as it is and what is closed when that has changed.
func (f *fetch) look() (progress, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.progress, f.news
}

// streamBlob fetches a blob and sends it as it comes. sent is false when nothing
// was sent, because it is here now, or because of err. Whoever asked may
// leave: the blob is fetched all the same.
func (r *Registry) streamBlob(w http.ResponseWriter, req *http.Request, x ref, dgst string) (sent bool, err error) {
	if err := digest.Digest(dgst).Validate(); err != nil {
		return false, app.Invalid("%.100q is no digest", dgst)
	}
	f := r.join(x, dgst)
	now, news := f.look()
	for ; now.path == "" && !now.done; now, news = f.look() {
		select {
		case <-news:
		case <-req.Context().Done():
			return false, req.Context().Err()
		}
	}
	file, openErr := os.Open(now.path)
	if now.path == "" || openErr != nil { // it is where it belongs by now, or failed
		return false, wait(req.Context(), f)
	}
	defer file.Close()
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Docker-Content-Digest", dgst)
	if now.size >= 0 {
		h.Set("Content-Length", strconv.FormatInt(now.size, 10))
	}
	if err := send(w, req, file, f); err != nil {
		panic(http.ErrAbortHandler) // cuts the connection, so that nobody takes it for whole
	}
	return true, nil
}

// join returns the fetch of a blob that is under way, or begins one.
func (r *Registry) join(x ref, dgst string) *fetch {
	key := x.stored() + "@" + dgst
	r.mu.Lock()
	defer r.mu.Unlock()
	if f := r.fetches[key]; f != nil {
		return f
	}
	f := &fetch{news: make(chan struct{}), progress: progress{size: -1}}
	r.fetches[key] = f
	r.sweeping.RLock() // the caller holds it, too: this does not block
	r.running.Go(func() {
		defer r.sweeping.RUnlock()
		err := r.fetchBlob(r.base, x, dgst, f)
		if now, _ := f.look(); err != nil && now.all { // nobody waits for it any more
			r.cfg.Log.Warn("a layer that was passed on is not kept", "repository", x.stored(), "digest", dgst, "err", err)
		}
		r.mu.Lock()
		delete(r.fetches, key)
		r.mu.Unlock()
		f.change(func() { f.done, f.err = true, err })
	})
	return f
}

// wait returns how a fetch ended.
func wait(ctx context.Context, f *fetch) error {
	for {
		now, news := f.look()
		if now.done {
			return now.err
		}
		select {
		case <-news:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// send copies the file to w until all has come. That it is kept is not for the
// client to wait for.
func send(w io.Writer, req *http.Request, file io.ReaderAt, f *fetch) error {
	buf := make([]byte, 128<<10)
	for sent := int64(0); ; {
		now, news := f.look()
		for sent < now.came {
			n, err := file.ReadAt(buf[:min(int64(len(buf)), now.came-sent)], sent)
			if err != nil {
				return err
			}
			if err := run.Gather(req, func() error { _, err := w.Write(buf[:n]); return err }); err != nil {
				return err
			}
			sent += int64(n)
		}
		switch {
		case now.all || now.size >= 0 && sent == now.size:
			return nil
		case now.lost:
			return io.ErrUnexpectedEOF
		case now.done:
			return now.err
		}
		select {
		case <-news:
		case <-req.Context().Done():
			return req.Context().Err()
		}
	}
}
