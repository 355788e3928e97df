package images

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"

	"github.com/distribution/distribution/v3"
	"github.com/opencontainers/go-digest"

	"lattice/app"
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
	came int64  // bytes that have come
	tail []byte // the last of them, which the library may not have written yet
	lost bool   // another file has the rest: a second source went on
	done bool
	err  error // when done
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
	if err := send(req.Context(), w, file, f); err != nil {
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

// send copies the file to w until all has come.
func send(ctx context.Context, w io.Writer, file io.ReaderAt, f *fetch) error {
	buf := make([]byte, 128<<10)
	for sent := int64(0); ; {
		now, news := f.look()
		for sent < now.came || now.done {
			n, err := file.ReadAt(buf, sent)
			if n > 0 {
				if _, err := w.Write(buf[:n]); err != nil {
					return err
				}
				sent += int64(n)
			}
			if errors.Is(err, io.EOF) {
				if n, err = now.sendTail(w, sent); err != nil {
					return err
				}
				sent += int64(n)
				break
			}
			if err != nil {
				return err
			}
		}
		switch {
		case now.size >= 0 && sent == now.size: // that it is kept is not for the client to wait for
			return nil
		case now.lost:
			return io.ErrUnexpectedEOF
		case now.done:
			return now.err
		}
		select {
		case <-news:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// sendTail sends what has come and is not in the file yet, behind what was sent.
func (p *progress) sendTail(w io.Writer, sent int64) (int, error) {
	from := p.came - int64(len(p.tail))
	if sent < from || sent >= p.came {
		return 0, nil
	}
	return w.Write(p.tail[sent-from:])
}

// fetchBlob brings a blob here, and tells f of it on the way.
func (r *Registry) fetchBlob(ctx context.Context, x ref, dgst string, f *fetch) error {
	repo, err := r.repository(ctx, x.stored())
	if err != nil {
		return err
	}
	return r.from(ctx, x, app.Login{}, func(u *upstream) error {
		b, err := u.blob(ctx, dgst)
		if err != nil {
			return err
		}
		defer b.Close()
		to, err := repo.Blobs(ctx).Create(ctx)
		if err != nil {
			return err
		}
		f := f
		if now, _ := f.look(); now.path != "" { // what was sent can't be taken back
			f.change(func() { f.lost = true })
			f = &fetch{news: make(chan struct{})}
		}
		f.change(func() { f.path, f.size = r.uploadPath(x.stored(), to.ID()), b.size })
		_, err = io.CopyBuffer(io.MultiWriter(to, teller{f}), onlyReader{b}, make([]byte, 256<<10))
		if err == nil {
			_, err = to.Commit(ctx, distribution.Descriptor{Digest: digest.Digest(dgst)})
		}
		if err != nil {
			return errors.Join(err, to.Cancel(context.WithoutCancel(ctx)))
		}
		return nil
	})
}

// uploadPath is where the library has a blob that is not complete yet.
func (r *Registry) uploadPath(repo, id string) string {
	return filepath.Join(r.root, "docker/registry/v2/repositories", filepath.FromSlash(repo), "_uploads", id, "data")
}

// onlyReader hides what else a reader can: the library would read by itself, and
// nobody would be told how far it is.
type onlyReader struct{ io.Reader }

// tailBytes is more than the library's buffer has.
const tailBytes = 8 << 10

// A teller counts what has come.
type teller struct{ f *fetch }

func (t teller) Write(p []byte) (int, error) {
	tail := p
	if len(p) < tailBytes {
		now, _ := t.f.look()
		tail = slices.Concat(now.tail, p)
	}
	tail = slices.Clone(tail[max(0, len(tail)-tailBytes):])
	t.f.change(func() { t.f.came, t.f.tail = t.f.came+int64(len(p)), tail })
	return len(p), nil
}
