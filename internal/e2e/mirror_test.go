package e2e

import (
	"path/filepath"
	"runtime"

	"github.com/google/go-containerregistry/pkg/compression"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// mirror has an image of Docker's registry, which can't be reached from here, from a
// mirror of it: an index, with layers in zstd.
func (h *host) mirror(refused func(code int, want string, args ...string)) {
	h.t.Helper()
	reg := h.registryAt(5002, "", "")
	h.pushIndex("10.99.0.1:5002/library/hello:1")
	h.ltc("registry", "add", "docker.io", "--mirror", "http://10.99.0.1:5002")
	h.ltc("create", "hub", "hello:1", "-m", "64")
	h.mustGet("hub."+domain, "/")
	refused(15, "the mirror http://10.99.0.1:5002 has no such image or tag; check the name; and registry docker.io ", "create", "none", "hello:2")
	reg.kill()
	h.ltc("scale", "hub", "2")
	refused(15, "the mirror http://10.99.0.1:5002 refuses connections", "create", "none", "hello:2")
	h.ltc("remove", "hub")
	h.ltc("registry", "remove", "docker.io")
}

// pushIndex pushes an index of the sample image, its layers in zstd, and one for
// machines of which there are none here.
func (h *host) pushIndex(ref string) {
	h.t.Helper()
	sample := sampleImage(h.t, filepath.Join(h.dir, "layout"))
	config, err := sample.ConfigFile()
	if err != nil {
		h.t.Fatal(err)
	}
	layers, err := sample.Layers()
	if err != nil {
		h.t.Fatal(err)
	}
	config.RootFS.DiffIDs, config.History = nil, nil
	ours, err := mutate.ConfigFile(mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON), config)
	if err != nil {
		h.t.Fatal(err)
	}
	for _, l := range layers {
		packed, err := tarball.LayerFromOpener(l.Uncompressed, tarball.WithCompression(compression.ZStd), tarball.WithMediaType(types.OCILayerZStd))
		if err != nil {
			h.t.Fatal(err)
		}
		if ours, err = mutate.AppendLayers(ours, packed); err != nil {
			h.t.Fatal(err)
		}
	}
	other, err := random.Image(1000, 1)
	if err != nil {
		h.t.Fatal(err)
	}
	index := mutate.AppendManifests(mutate.IndexMediaType(empty.Index, types.OCIImageIndex),
		mutate.IndexAddendum{Add: other, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "s390x"}}},
		mutate.IndexAddendum{Add: ours, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: runtime.GOARCH}}})
	tag, opts := h.tagAs(ref, "", "")
	if err := remote.WriteIndex(tag, index, opts...); err != nil {
		h.t.Fatalf("push %s: %v", ref, err)
	}
}
