package images

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"time"

	"github.com/opencontainers/go-digest"

	"lattice/app"
)

const (
	fetchBuffer = 256 << 10
	calmTime    = 2 * time.Second  // without a byte, then what came is kept
	latestKeep  = 30 * time.Second // it is kept then at the latest
)

// fetchBlob brings a blob here, and tells f of it on the way.
//
// It writes into the library's storage beside the library, whose uploads cost many
// small files that are forced to the disk one by one, the first of them before a
// layer's first byte can come.
func (r *Registry) fetchBlob(ctx context.Context, x ref, dgst string, f *fetch) error {
	if _, err := r.repository(ctx, x.stored()); err != nil { // its name becomes a path
		return err
	}
	return r.from(ctx, x, app.Login{}, func(u *upstream) error {
		b, err := u.blob(ctx, dgst)
		if err != nil {
			return err
		}
		to, err := os.CreateTemp(r.incoming(), "")
		if err != nil {
			b.Close()
			return err
		}
		defer os.Remove(to.Name()) // it is not there any more when it was kept
		defer to.Close()
		f := f
		if now, _ := f.look(); now.path != "" { // what was sent can't be taken back
			f.change(func() { f.lost = true })
			f = &fetch{news: make(chan struct{})}
		}
		f.change(func() { f.path, f.size = to.Name(), b.size })
		err = receive(to, b, f)
		b.Close()
		if err != nil {
			return err
		}
		r.calm(ctx)
		return r.keepBlob(ctx, x.stored(), to, digest.Digest(dgst))
	})
}

// receive copies a blob to its file.
func receive(to io.Writer, from io.Reader, f *fetch) error {
	buf := make([]byte, fetchBuffer)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return err
			}
			f.change(func() { f.came += int64(n) })
		}
		if errors.Is(err, io.EOF) {
			f.change(func() { f.all = true })
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// calm waits until no blob comes any more. To check a layer and to force it to the
// disk while others come would take both from the cells that wait for them.
func (r *Registry) calm(ctx context.Context) {
	r.came.Store(time.Now().UnixNano())
	for latest := time.Now().Add(latestKeep); ; {
		since := time.Since(time.Unix(0, r.came.Load()))
		if since >= calmTime || time.Now().After(latest) {
			return
		}
		select {
		case <-time.After(calmTime - since):
		case <-ctx.Done():
			return
		}
	}
}

// keepBlob checks a file and makes it the blob of a repository. Who was sent it
// before has checked it too.
func (r *Registry) keepBlob(ctx context.Context, repo string, from *os.File, want digest.Digest) error {
	r.keeping.Lock()
	defer r.keeping.Unlock()
	if _, err := from.Seek(0, io.SeekStart); err != nil {
		return err
	}
	got, err := want.Algorithm().FromReader(from)
	if err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("what came is %s and not %s, which was asked for", got, want)
	}
	if err := from.Sync(); err != nil {
		return err
	}
	to := filepath.Join(r.cfg.Dir, blobFile(want))
	if err := os.MkdirAll(filepath.Dir(to), 0o777); err != nil {
		return err
	}
	if err := os.Rename(from.Name(), to); err != nil {
		return err
	}
	link := path.Join(library, "repositories", repo, "_layers", want.Algorithm().String(), want.Encoded(), "link")
	return r.disk.PutContent(context.WithoutCancel(ctx), link, []byte(want))
}

// incoming is the folder of what is not kept yet.
func (r *Registry) incoming() string { return filepath.Join(r.cfg.Dir, "incoming") }
