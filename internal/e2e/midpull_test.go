package e2e

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"lattice/app"
)

// TestRegistryDiesInMidPull kills a registry behind a slow line while an image comes
// from it: the reason is told, nothing of the image stays once the app is removed,
// and an app that still waits for it runs when the registry is there again.
func TestRegistryDiesInMidPull(t *testing.T) {
	l := newLab(t, "one", "reg")
	h, far := l.host("one"), l.host("reg")
	h.up()
	layer, err := random.Layer(16<<20, types.OCILayer)
	if err != nil {
		t.Fatal(err)
	}
	img, err := mutate.AppendLayers(sampleImage(t, filepath.Join(far.dir, "layout")), layer)
	if err != nil {
		t.Fatal(err)
	}
	reg := far.registryAt(5000, "", "")
	image := far.addr + ":5000/team/large:1"
	far.pushImage(image, img)
	l.run("tc", "-n", far.ns, "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", "20mbit", "burst", "64k", "latency", "400ms")
	h.ltc("registry", "add", far.addr+":5000", "--plain-http")
	h.breaksOff("web", image, reg)
	if out := h.ltc("explain", "web"); !strings.Contains(out, far.addr+":5000 refuses connections") {
		t.Errorf("explain:\n%s", out)
	}
	h.ltc("remove", "web")
	h.ltc("images", "prune", "--unused", "0s")
	eventually(t, time.Minute, "nothing of the image is left", func() string { return strings.Join(h.keptOfImages(), " ") })

	h.breaksOff("again", image, far.registryAt(5000, "", ""))
	far.registryAt(5000, "", "")
	h.running("again", 1, anywhere)
	h.mustGet("again."+domain, "/")
	h.ltc("remove", "again")
}

// breaksOff creates an app and kills its image's registry while the image comes.
func (h *host) breaksOff(name, image string, registry *proc) {
	h.t.Helper()
	h.ltc("create", name, image, "-m", "64", "--no-wait")
	until := func(what string, ok func(app.Instance) bool) {
		h.t.Helper()
		eventually(h.t, time.Minute, what, func() string {
			if st := h.status(name); len(st.Instances) != 1 || !ok(st.Instances[0]) {
				return fmt.Sprintf("%+v", st.Instances)
			}
			return ""
		})
	}
	until("the image has begun to come", func(in app.Instance) bool { return in.Pull != nil && in.Pull.Done > 1<<20 })
	if len(h.keptOfImages()) == 0 {
		h.t.Error("nothing is kept of an image that comes")
	}
	registry.kill()
	until("the reason is told", func(in app.Instance) bool { return strings.Contains(in.Reason, ":5000 refuses connections") })
}

// keptOfImages returns what brain and cell have of images.
func (h *host) keptOfImages() []string {
	h.t.Helper()
	kept := slices.Concat(h.below("io.containerd.content.v1.content/blobs/sha256/*"),
		h.below("io.containerd.content.v1.content/ingest/*"), h.below("io.containerd.snapshotter.v1.overlayfs/snapshots/*"))
	for _, pattern := range []string{"blobs/sha256/*/*", "repositories/*/*/*/_uploads/*", "repositories/*/*/*/*/_uploads/*"} {
		found, err := filepath.Glob(filepath.Join(h.data(), "brain/images/storage/docker/registry/v2", pattern))
		if err != nil {
			h.t.Fatal(err)
		}
		kept = append(kept, found...)
	}
	return kept
}
