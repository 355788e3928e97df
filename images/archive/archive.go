// Package archive brings images that are files into a registry: what `docker
// save` writes, and OCI archives. Only layers that the registry lacks travel.
package archive

import (
	"archive/tar"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"lattice/app"
)

// An Image is one that a file holds. Close it when it is not needed any more.
type Image struct {
	image v1.Image
	index v1.ImageIndex // instead of image: one of several platforms
	temp  string        // folder of what had to be unpacked; empty: none
	Name  string        // what the file calls it, such as team/web:1; empty: nothing
}

// Close deletes what Open unpacked.
func (i *Image) Close() error {
	if i.temp == "" {
		return nil
	}
	return os.RemoveAll(i.temp)
}

// Open reads the image in a file. Of several it takes the one that is called
// want, which may be empty when there is only one. Errors that are the file's
// fault are app.ErrInvalid.
func Open(path, want string) (*Image, error) {
	oci, err := has(path, "index.json")
	if err != nil {
		return nil, err
	}
	if oci {
		return openOCI(path, want)
	}
	return openDocker(path, want)
}

// has reports whether there is a file of that name in the archive.
func has(path, file string) (found bool, err error) {
	err = each(path, func(h *tar.Header, _ io.Reader) error {
		if filepath.Clean(h.Name) == file {
			found = true
			return io.EOF
		}
		return nil
	})
	return found, err
}

// each calls fn with each file of an archive, until it returns io.EOF.
func each(path string, fn func(*tar.Header, io.Reader) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	for tr := tar.NewReader(f); ; {
		h, err := tr.Next()
		if err == nil && h.Size > info.Size() { // it would be made of holes
			err = fmt.Errorf("%.100q would be larger than the file it is in", h.Name)
		}
		if err == nil {
			err = fn(h, tr)
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return app.Invalid("%s can't be read as an image: %v; it must be what 'docker save' writes or an OCI archive, not compressed", path, err)
		}
	}
}

// openDocker reads what docker save wrote.
func openDocker(path, want string) (*Image, error) {
	m, err := tarball.LoadManifest(func() (io.ReadCloser, error) { return os.Open(path) })
	if err != nil {
		return nil, app.Invalid("%s can't be read as an image: %v; it must be what 'docker save' writes or an OCI archive", path, err)
	}
	var names []string
	for _, d := range m {
		names = append(names, d.RepoTags...)
	}
	called, err := pick(path, names, want, len(m) == 1)
	if err != nil {
		return nil, err
	}
	var tag *name.Tag
	if called != "" {
		t, err := name.NewTag(called)
		if err != nil {
			return nil, app.Invalid("%s calls its image %q: %v", path, called, err)
		}
		tag = &t
	}
	img, err := tarball.ImageFromPath(path, tag)
	if err != nil {
		return nil, app.Invalid("%s can't be read as an image: %v", path, err)
	}
	return &Image{image: img, Name: here(called)}, nil
}

// pick chooses among the names of images.
func pick(path string, names []string, want string, single bool) (string, error) {
	for _, n := range names {
		if want != "" && (n == want || strings.TrimSuffix(n, ":latest") == want) {
			return n, nil
		}
	}
	switch {
	case single && len(names) == 0:
		return "", nil
	case single && want == "":
		return names[0], nil
	case single:
		return names[0], nil // the name is what it shall be called, not which one is meant
	}
	return "", app.Invalid("%s has several images: %s; say which one you mean", path, strings.Join(names, ", "))
}

// Where an OCI index has the name of an image; BuildKit has only the tag in the
// first.
const (
	refName  = "org.opencontainers.image.ref.name"
	fullName = "io.containerd.image.name"
)

// here returns the name that an image of another registry has in ours: without the
// host.
func here(called string) string {
	first, rest, ok := strings.Cut(called, "/")
	if ok && (first == "localhost" || strings.ContainsAny(first, ".:")) {
		return strings.TrimPrefix(rest, "library/")
	}
	return called
}

// openOCI reads an OCI archive: it is unpacked, since its parts may come in any
// order.
func openOCI(path, want string) (_ *Image, err error) {
	temp, err := os.MkdirTemp("", "lattice-image-")
	if err != nil {
		return nil, err
	}
	i := &Image{temp: temp}
	defer func() {
		if err != nil {
			err = errors.Join(err, i.Close())
		}
	}()
	if err := unpack(path, temp); err != nil {
		return nil, err
	}
	index, err := layout.ImageIndexFromPath(temp)
	if err != nil {
		return nil, app.Invalid("%s can't be read as an OCI archive: %v", path, err)
	}
	m, err := index.IndexManifest()
	if err != nil {
		return nil, app.Invalid("%s can't be read as an OCI archive: %v", path, err)
	}
	var names []string
	by := map[string]v1.Descriptor{}
	for n, d := range m.Manifests {
		called := cmp.Or(d.Annotations[fullName], d.Annotations[refName], fmt.Sprintf("#%d", n))
		names = append(names, called)
		by[called] = d
	}
	called, err := pick(path, names, want, len(m.Manifests) == 1)
	if err != nil {
		return nil, err
	}
	d := by[called]
	if i.Name = here(called); strings.HasPrefix(called, "#") {
		i.Name = ""
	}
	if d.MediaType.IsIndex() {
		i.index, err = index.ImageIndex(d.Digest)
	} else {
		i.image, err = index.Image(d.Digest)
	}
	return i, err
}

// unpack writes the files of an archive to a folder and nowhere else.
func unpack(path, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	return each(path, func(h *tar.Header, r io.Reader) error {
		name := filepath.Clean(h.Name)
		switch h.Typeflag {
		case tar.TypeDir:
			return root.MkdirAll(name, 0o700)
		case tar.TypeReg:
		default:
			return nil // an OCI archive has nothing else
		}
		if err := root.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			return err
		}
		f, err := root.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, r)
		return errors.Join(err, f.Close())
	})
}

// To says where an image goes.
type To struct {
	Host     string // host:port of the registry
	Repo     string // NAME[:TAG]
	Token    string
	Via      http.RoundTripper
	Progress func(done, total int64) // may be nil; of what travels
}

// Push brings the image there and returns its digest.
func (i *Image) Push(ctx context.Context, to To) (digest string, err error) {
	ref, err := name.ParseReference(to.Host + "/" + to.Repo)
	if err != nil {
		return "", app.Invalid("%q is no name for an image: %v", to.Repo, err)
	}
	opts := []remote.Option{remote.WithContext(ctx), remote.WithTransport(to.Via), remote.WithAuth(&authn.Basic{Username: "lattice", Password: to.Token})}
	if to.Progress != nil {
		updates := make(chan v1.Update, 16)
		opts = append(opts, remote.WithProgress(updates))
		told := make(chan struct{})
		go func() {
			defer close(told)
			for u := range updates {
				to.Progress(u.Complete, u.Total)
			}
		}()
		defer func() { <-told }()
	}
	if i.index != nil {
		err = remote.WriteIndex(ref, i.index, opts...)
	} else {
		err = remote.Write(ref, i.image, opts...)
	}
	if err != nil && strings.Contains(err.Error(), syscall.ENOSPC.Error()) { // it is told as text only
		return "", fmt.Errorf("push %s: no space is left on the brain's disk; 'ltc images prune' frees what nobody uses: %w", to.Repo, app.ErrFull)
	}
	if err != nil {
		return "", fmt.Errorf("push %s: %w", to.Repo, err)
	}
	var d v1.Hash
	if i.index != nil {
		d, err = i.index.Digest()
	} else {
		d, err = i.image.Digest()
	}
	return d.String(), err
}
