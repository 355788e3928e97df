package containerd

import (
	"bytes"
	"crypto/rand"
	"os"
	"path/filepath"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// A blob is on its way to the disk as it comes, also one that was broken off, and
// comes whole.
func TestBlobsAreWrittenAsTheyCome(t *testing.T) {
	root := t.TempDir()
	inner, err := local.NewStore(root)
	if err != nil {
		t.Fatal(err)
	}
	store := blobs{inner, root}
	data := make([]byte, 2*flushBytes+flushBytes/2)
	rand.Read(data)
	desc := ocispec.Descriptor{Digest: digest.FromBytes(data), Size: int64(len(data))}
	open := func() *blobWriter {
		w, err := store.Writer(t.Context(), content.WithRef("layer-1"), content.WithDescriptor(desc))
		if err != nil {
			t.Fatal(err)
		}
		early, ok := w.(*blobWriter)
		if !ok {
			t.Fatal("what comes is not where it was looked for")
		}
		return early
	}
	w := open()
	if _, err := w.Write(data[:flushBytes+1]); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	w = open()
	if s, err := w.Status(); err != nil || s.Offset != flushBytes+1 {
		t.Fatalf("goes on at %d: %v", s.Offset, err)
	}
	if _, err := w.Write(data[flushBytes+1:]); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(t.Context(), desc.Size, desc.Digest); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := w.data.Close(); err == nil {
		t.Error("the file was left open")
	}
	if got, err := os.ReadFile(filepath.Join(root, "blobs/sha256", desc.Digest.Encoded())); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes are there, %v", len(got), err)
	}
}
