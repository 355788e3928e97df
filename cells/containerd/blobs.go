package containerd

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/plugin"
	"github.com/containerd/plugin/registry"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

func init() {
	registry.Register(&plugin.Registration{
		Type: plugins.ContentPlugin,
		ID:   "content",
		InitFn: func(ic *plugin.InitContext) (any, error) {
			root := ic.Properties[plugins.PropertyRootDir]
			ic.Meta.Exports["root"] = root
			store, err := local.NewStore(root)
			return blobs{store, root}, err
		},
	})
}

// blobs is containerd's store of blobs, which begins to write a blob to the disk
// as it comes. The store forces it there when it has come whole, and only then is
// the layer unpacked: all of it would wait for the disk then, and the disk for
// what comes meanwhile.
type blobs struct {
	content.Store
	root string
}

func (b blobs) Writer(ctx context.Context, opts ...content.WriterOpt) (content.Writer, error) {
	w, err := b.Store.Writer(ctx, opts...)
	if err != nil {
		return nil, err
	}
	s, err := w.Status()
	if err != nil {
		return nil, errors.Join(err, w.Close())
	}
	// Where the store has what comes; without it the blob is only slower.
	data, err := os.OpenFile(filepath.Join(b.root, "ingest", digest.FromString(s.Ref).Encoded(), "data"), os.O_WRONLY, 0)
	if err != nil {
		return w, nil
	}
	return &blobWriter{Writer: w, data: data}, nil
}

// flushBytes is how much is written to the disk at a time.
const flushBytes = 2 << 20

type blobWriter struct {
	content.Writer
	data    *os.File
	written int
}

func (w *blobWriter) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	if w.written += n; w.written >= flushBytes {
		w.written = 0
		_ = unix.SyncFileRange(int(w.data.Fd()), 0, 0, unix.SYNC_FILE_RANGE_WRITE) // it only begins: what fails is told by the store
	}
	return n, err
}

func (w *blobWriter) Close() error {
	w.data.Close()
	return w.Writer.Close()
}
