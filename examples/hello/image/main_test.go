package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"debug/elf"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// untar returns the headers and the contents of a tar file.
func untar(t *testing.T, r io.Reader) (map[string]*tar.Header, map[string][]byte) {
	t.Helper()
	headers, data := map[string]*tar.Header{}, map[string][]byte{}
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return headers, data
		}
		if err != nil {
			t.Fatal(err)
		}
		if headers[h.Name], data[h.Name] = h, nil; h.Size > 0 {
			if data[h.Name], err = io.ReadAll(tr); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// blobOf returns what d stands for, and checks that it is that.
func blobOf(t *testing.T, files map[string][]byte, d v1.Descriptor) []byte {
	t.Helper()
	b := files["blobs/sha256/"+d.Digest.Encoded()]
	if digest.FromBytes(b) != d.Digest || int64(len(b)) != d.Size {
		t.Fatalf("blob of %s: %d bytes, want %s of %d", d.MediaType, len(b), d.Digest, d.Size)
	}
	return b
}

func decode(t *testing.T, data []byte, v any) {
	t.Helper()
	if err := json.Unmarshal(data, v); err != nil {
		t.Fatalf("%v in %.200q", err, data)
	}
}

func TestSameSourceSameBytes(t *testing.T) {
	dir := t.TempDir()
	var programs, archives [2][]byte
	for i := range 2 {
		path := filepath.Join(dir, fmt.Sprint("hello", i))
		if err := compile(path, runtime.GOARCH); err != nil {
			t.Fatal(err)
		}
		var err error
		if programs[i], err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
		if archives[i], err = build([]byte("program"), runtime.GOARCH); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(programs[0], programs[1]) {
		t.Error("two builds of the program differ")
	}
	if !bytes.Equal(archives[0], archives[1]) {
		t.Error("two archives of the same program differ")
	}
}

func TestImage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hello.tar")
	if err := run(path, runtime.GOARCH); err != nil {
		t.Fatal(err)
	}
	archive, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(archive); n > 4<<20 {
		t.Errorf("the archive has %d bytes, want 4 MiB at most", n)
	}

	_, files := untar(t, bytes.NewReader(archive))
	var version v1.ImageLayout
	decode(t, files["oci-layout"], &version)
	if version.Version != "1.0.0" {
		t.Errorf("layout version is %q", version.Version)
	}
	var index v1.Index
	decode(t, files["index.json"], &index)
	if len(index.Manifests) != 1 {
		t.Fatalf("%d images, want 1", len(index.Manifests))
	}
	for _, key := range []string{"org.opencontainers.image.ref.name", "io.containerd.image.name"} {
		if got := index.Manifests[0].Annotations[key]; got != "docker.io/lattice/hello:latest" {
			t.Errorf("%s is %q", key, got)
		}
	}
	var manifest v1.Manifest
	decode(t, blobOf(t, files, index.Manifests[0]), &manifest)
	var image v1.Image
	decode(t, blobOf(t, files, manifest.Config), &image)
	checkConfig(t, image)
	zr, err := gzip.NewReader(bytes.NewReader(blobOf(t, files, manifest.Layers[0])))
	if err != nil {
		t.Fatal(err)
	}
	layer, err := io.ReadAll(zr)
	if err != nil {
		t.Fatal(err)
	}
	if got := digest.FromBytes(layer); got != image.RootFS.DiffIDs[0] {
		t.Errorf("diff ID is %s, want %s", image.RootFS.DiffIDs[0], got)
	}
	checkRootfs(t, layer)
}

func checkConfig(t *testing.T, image v1.Image) {
	t.Helper()
	c := image.Config
	got := fmt.Sprint(image.OS, " ", image.Architecture, " ", c.User, " ", c.ExposedPorts, " ", c.Entrypoint, " ", c.Cmd, " ", c.WorkingDir)
	want := "linux " + runtime.GOARCH + " 1000:1000 map[8080/tcp:{}] [/bin/hello] [] /home/hello"
	if got != want {
		t.Errorf("config is %s, want %s", got, want)
	}
}

func checkRootfs(t *testing.T, layer []byte) {
	t.Helper()
	headers, data := untar(t, bytes.NewReader(layer))
	for name, want := range map[string]string{
		"tmp/": "1777 0:0", "home/hello/": "755 1000:1000", "bin/hello": "755 0:0", "etc/passwd": "644 0:0", "etc/group": "644 0:0",
	} {
		h := headers[name]
		if h == nil {
			t.Errorf("no %s", name)
			continue
		}
		if got := fmt.Sprintf("%o %d:%d", h.Mode, h.Uid, h.Gid); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	if !bytes.Contains(data["etc/passwd"], []byte("\nhello:x:1000:1000:")) || !bytes.Contains(data["etc/group"], []byte("\nhello:x:1000:")) {
		t.Error("no user or no group hello")
	}
	f, err := elf.NewFile(bytes.NewReader(data["bin/hello"]))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Error("the program is not static")
		}
	}
	if f.Section(".symtab") != nil || f.Section(".debug_info") != nil {
		t.Error("the program is not stripped")
	}
}
