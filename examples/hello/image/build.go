package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	imageName = "docker.io/lattice/hello:latest"
	user      = 1000 // number of the user and the group that the app runs as
)

// epoch is the time of everything in the image.
func epoch() time.Time { return time.Unix(0, 0).UTC() }

// build returns the archive of an image with the given program in it.
func build(program []byte, arch string) ([]byte, error) {
	layer, err := rootfs(program)
	if err != nil {
		return nil, err
	}
	packed, err := compress(layer)
	if err != nil {
		return nil, err
	}
	var l layout
	layerDesc := l.blob(v1.MediaTypeImageLayerGzip, packed)
	configDesc, err := l.json(v1.MediaTypeImageConfig, config(arch, digestOf(layer)))
	if err != nil {
		return nil, err
	}
	manifest, err := l.json(v1.MediaTypeImageManifest, v1.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageManifest,
		Config: configDesc, Layers: []v1.Descriptor{layerDesc},
	})
	if err != nil {
		return nil, err
	}
	manifest.Platform = &v1.Platform{OS: "linux", Architecture: arch}
	manifest.Annotations = map[string]string{v1.AnnotationRefName: imageName, "io.containerd.image.name": imageName}
	return l.archive(manifest)
}

// config is what the image says of itself.
func config(arch string, layer digest.Digest) v1.Image {
	created := epoch()
	return v1.Image{
		Created:  &created,
		Platform: v1.Platform{OS: "linux", Architecture: arch},
		Config: v1.ImageConfig{
			User:         "1000:1000",
			ExposedPorts: map[string]struct{}{"8080/tcp": {}},
			Env:          []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
			Entrypoint:   []string{"/bin/hello"},
			WorkingDir:   "/home/hello",
			StopSignal:   "SIGTERM",
			Labels:       map[string]string{v1.AnnotationTitle: "hello", v1.AnnotationDescription: "the sample app of lattice"},
		},
		RootFS:  v1.RootFS{Type: "layers", DiffIDs: []digest.Digest{layer}},
		History: []v1.History{{Created: &created, CreatedBy: "examples/hello/image"}},
	}
}

// rootfs returns the image's one layer.
func rootfs(program []byte) ([]byte, error) {
	files := []struct {
		name string
		mode int64
		own  int // user and group
		data string
	}{
		{"bin/", 0o755, 0, ""},
		{"bin/hello", 0o755, 0, string(program)},
		{"etc/", 0o755, 0, ""},
		{"etc/group", 0o644, 0, "root:x:0:\nhello:x:1000:\n"},
		{"etc/passwd", 0o644, 0, "root:x:0:0:root:/root:/sbin/nologin\nhello:x:1000:1000:hello:/home/hello:/sbin/nologin\n"},
		{"home/", 0o755, 0, ""},
		{"home/hello/", 0o755, user, ""},
		{"tmp/", 0o1777, 0, ""},
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		h := &tar.Header{Name: f.name, Mode: f.mode, Uid: f.own, Gid: f.own, Size: int64(len(f.data)), ModTime: epoch(), Typeflag: tar.TypeReg}
		if f.name[len(f.name)-1] == '/' {
			h.Typeflag = tar.TypeDir
		}
		if err := add(w, h, []byte(f.data)); err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return b.Bytes(), err
}

func compress(data []byte) ([]byte, error) {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(data); err != nil {
		return nil, err
	}
	err := w.Close()
	return b.Bytes(), err
}

// A layout collects the blobs of an OCI layout.
type layout struct {
	blobs []blob
}

type blob struct {
	digest digest.Digest
	data   []byte
}

func (l *layout) blob(mediaType string, data []byte) v1.Descriptor {
	d := digestOf(data)
	l.blobs = append(l.blobs, blob{d, data})
	return v1.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(data))}
}

func digestOf(data []byte) digest.Digest {
	sum := sha256.Sum256(data)
	return digest.NewDigestFromBytes(digest.SHA256, sum[:])
}

func (l *layout) json(mediaType string, v any) (v1.Descriptor, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return v1.Descriptor{}, err
	}
	return l.blob(mediaType, data), nil
}

// archive returns the layout as a tar file, with an index of one image.
func (l *layout) archive(image v1.Descriptor) ([]byte, error) {
	version, err := json.Marshal(v1.ImageLayout{Version: v1.ImageLayoutVersion})
	if err != nil {
		return nil, err
	}
	index, err := json.Marshal(v1.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageIndex,
		Manifests: []v1.Descriptor{image},
	})
	if err != nil {
		return nil, err
	}
	type file struct {
		name string
		data []byte
	}
	files := []file{{v1.ImageLayoutFile, version}, {v1.ImageIndexFile, index}}
	for _, b := range l.blobs {
		files = append(files, file{v1.ImageBlobsDir + "/sha256/" + b.digest.Encoded(), b.data})
	}
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, f := range files {
		h := &tar.Header{Name: f.name, Mode: 0o644, Size: int64(len(f.data)), ModTime: epoch(), Typeflag: tar.TypeReg}
		if err := add(w, h, f.data); err != nil {
			return nil, err
		}
	}
	err = w.Close()
	return buf.Bytes(), err
}

func add(w *tar.Writer, h *tar.Header, data []byte) error {
	if err := w.WriteHeader(h); err != nil {
		return err
	}
	_, err := w.Write(data)
	return err
}
