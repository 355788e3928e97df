package e2e

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
)

// registry starts Debian's registry on the host's port 5000, without TLS.
func (h *host) registry() *proc {
	h.t.Helper()
	config := filepath.Join(h.dir, "registry.yml")
	text := fmt.Sprintf("version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: %s\nhttp:\n  addr: :5000\n", filepath.Join(h.dir, "registry"))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
	cmd := h.command("docker-registry", "serve", config)
	if err := cmd.Start(); err != nil {
		h.t.Fatalf("start docker-registry (a Debian package): %v", err)
	}
	p := &proc{cmd: cmd, log: os.DevNull}
	h.procs = append(h.procs, p)
	eventually(h.t, 10*time.Second, "the registry answers", func() string {
		c, err := h.dial(context.Background(), "tcp", h.addr+":5000")
		if err != nil {
			return err.Error()
		}
		return errString(c.Close())
	})
	return p
}

func errString(err error) string {
	if err != nil {
		return err.Error()
	}
	return ""
}

// push puts the sample image into the host's registry under ref.
func (h *host) push(ref string) {
	h.t.Helper()
	h.pushAs(ref, "", "")
}

// sampleImage unpacks the archive that `make build` bundled and returns its image.
func sampleImage(t *testing.T, dir string) v1.Image {
	t.Helper()
	f, err := os.Open("../node/bundle/hello.tar")
	if err != nil {
		t.Fatalf("%v: run `make build` first", err)
	}
	defer f.Close()
	for tr := tar.NewReader(f); ; {
		hdr, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, filepath.Clean("/"+hdr.Name))
		if hdr.Typeflag == tar.TypeDir {
			err = os.MkdirAll(path, 0o755)
		} else if err = os.MkdirAll(filepath.Dir(path), 0o755); err == nil {
			var b []byte
			if b, err = io.ReadAll(tr); err == nil {
				err = os.WriteFile(path, b, 0o644)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	img, err := index.Image(manifest.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// TestImageFromARegistry runs an app from a real registry, on one machine and
// on a cell that is not the registry's.
func TestImageFromARegistry(t *testing.T) {
	l := newLab(t, "brain", "c1")
	h, c1 := l.host("brain"), l.host("c1")
	h.registry()
	h.push("10.99.0.1:5000/team/hello:v1")
	h.up("--memory-mb", "64")
	token := strings.TrimSpace(h.ltc("token"))
	c1.waitReady(c1.start("cell", "--join", h.addr, "--token", token))

	// The cell in the brain's process has room for one; loopback needs no word
	// that plain HTTP is meant, anything else does.
	h.ltc("create", "near", "127.0.0.1:5000/team/hello:v1", "-m", "64")
	if code, _, errs := h.lattice("create", "far", "10.99.0.1:5000/team/hello:v1"); code != 15 || !strings.Contains(errs, "ltc registry add 10.99.0.1:5000 --plain-http") {
		t.Errorf("without TLS: exit code %d, want 15:\n%s", code, errs)
	}
	h.ltc("registry", "add", "10.99.0.1:5000", "--plain-http")
	if body := h.mustGet("near."+domain, "/"); !strings.Contains(body, "near") {
		t.Errorf("answer: %s", body)
	}
	h.ltc("create", "far", "10.99.0.1:5000/team/hello:v1", "-m", "64", "-i", "2")
	if got := h.indices("far", 8); !slices.Equal(got, []string{"0", "1"}) {
		t.Errorf("answers came from %v", got)
	}
	if got := perCell(h.status("far")); got["c1"] != 2 {
		t.Errorf("instances by cell: %v, want two on c1", got)
	}
	code, _, errs := h.lattice("create", "none", "10.99.0.1:5000/team/hello:v9", "-m", "64")
	if code != 15 || !strings.Contains(errs, "v9") {
		t.Errorf("unknown tag: exit code %d, want 15:\n%s", code, errs)
	}
	h.ltc("remove", "near", "far")
}

// TestBesideAFirewall runs a cluster on hosts whose own firewall drops all that
// is forwarded, and checks that it works and leaves their rules alone.
func TestBesideAFirewall(t *testing.T) {
	l := newLab(t, "brain", "c1")
	h, c1 := l.host("brain"), l.host("c1")
	for _, x := range l.hosts {
		x.nft("add", "table", "ip", "filter")
		x.nft("add", "chain", "ip", "filter", "FORWARD", "{ type filter hook forward priority filter; policy drop; }")
		x.nft("add", "chain", "ip", "filter", "DOCKER-USER")
		x.nft("add", "rule", "ip", "filter", "FORWARD", "jump", "DOCKER-USER")
	}
	before := h.nft("list", "table", "ip", "filter") + c1.nft("list", "table", "ip", "filter")
	h.up()
	token := strings.TrimSpace(h.ltc("token"))
	c1.waitReady(c1.start("cell", "--join", h.addr, "--token", token))
	eventually(t, 10*time.Second, "two cells", func() string {
		if out := h.ltc("cells"); !strings.Contains(out, "c1") {
			return out
		}
		return ""
	})
	h.ltc("create", "hello", "lattice/hello", "-i", "2")
	if got := perCell(h.status("hello")); got["brain"] != 1 || got["c1"] != 1 {
		t.Errorf("instances by cell: %v, want one on each", got)
	}
	if got := h.indices("hello", 8); !slices.Equal(got, []string{"0", "1"}) {
		t.Errorf("answers came from %v", got)
	}
	h.ltc("remove", "hello")
	if after := h.nft("list", "table", "ip", "filter") + c1.nft("list", "table", "ip", "filter"); after != before {
		t.Errorf("the firewall's table was changed from\n%s\nto\n%s", before, after)
	}
}

// otherImage is the sample image with other bits, which behaves the same.
func otherImage(t *testing.T, dir string) v1.Image {
	t.Helper()
	img := sampleImage(t, dir)
	c, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config := c.Config
	config.Labels = map[string]string{"version": "2"}
	if img, err = mutate.Config(img, config); err != nil {
		t.Fatal(err)
	}
	return img
}
