package e2e

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"lattice/app"
)

// lifecycle is the folder of the programs of Cloud Native Buildpacks; `make
// test-deps` builds them.
const lifecycle = "../../build/lifecycle"

// A file of an image: a program, a text, or for link a symbolic link.
type imageFile struct {
	name, text, link string
	mode             int64
}

// withFiles returns img with files, environment and user.
func withFiles(t *testing.T, img v1.Image, env []string, files ...imageFile) v1.Image {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		h := &tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(f.text)), Typeflag: tar.TypeReg}
		if f.link != "" {
			h.Typeflag, h.Linkname = tar.TypeSymlink, f.link
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, f.text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	if img, err = mutate.AppendLayers(img, layer); err != nil {
		t.Fatal(err)
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	cfg = cfg.DeepCopy()
	cfg.Config.Env = append(cfg.Config.Env, env...)
	if img, err = mutate.ConfigFile(img, cfg); err != nil {
		t.Fatal(err)
	}
	return img
}

const detectScript = `#!/bin/sh
test -f app.sh || exit 100
`

const buildScript = `#!/bin/sh
echo "greeting is $GREETING, secrets: $(env | grep -c CNB_REGISTRY)"
test -e fail && echo "this is the cause" && exit 3
ls
if [ -f "$CNB_LAYERS_DIR/dep.toml" ]; then echo "dep from the cache"; else echo "dep is made"; fi
mkdir -p "$CNB_LAYERS_DIR/dep"
echo x > "$CNB_LAYERS_DIR/dep/x"
printf '[types]\ncache = true\n' > "$CNB_LAYERS_DIR/dep.toml"
printf '[[processes]]\ntype = "web"\ncommand = ["/bin/sh", "/workspace/app.sh"]\ndefault = true\n' > "$CNB_LAYERS_DIR/launch.toml"
`

const packedApp = `while :; do
  printf 'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\npacked: %s' "$(cat /workspace/text)" | nc -l -p 8080
done
`

// TestBuildpacks builds with the real lifecycle and a small buildpack, and does
// with the image what Lattice did with droplets.
func TestBuildpacks(t *testing.T) {
	h := newLab(t, "one").host("one")
	h.up()
	program := func(name string) string {
		b, err := os.ReadFile(filepath.Join(lifecycle, name))
		if err != nil {
			t.Fatalf("%v: run `make test-deps` first", err)
		}
		return string(b)
	}
	box := boxImage(t)
	h.bring("run:1", box)
	h.bring("packs:1", withFiles(t, box, []string{"CNB_USER_ID=1000", "CNB_GROUP_ID=1000"},
		imageFile{name: "cnb/lifecycle/lifecycle", text: program("lifecycle"), mode: 0o755},
		imageFile{name: "cnb/lifecycle/creator", link: "lifecycle"},
		imageFile{name: "cnb/lifecycle/launcher", text: program("launcher"), mode: 0o755},
		imageFile{name: "cnb/run.toml", text: "[[images]]\nimage = \"cluster/run:1\"\n", mode: 0o644},
		imageFile{name: "cnb/order.toml", text: "[[order]]\n[[order.group]]\nid = \"test/shell\"\nversion = \"1.0\"\n", mode: 0o644},
		imageFile{name: "cnb/buildpacks/test_shell/1.0/buildpack.toml", text: "api = \"0.10\"\n[buildpack]\nid = \"test/shell\"\nversion = \"1.0\"\n[[targets]]\nos = \"linux\"\n", mode: 0o644},
		imageFile{name: "cnb/buildpacks/test_shell/1.0/bin/detect", text: detectScript, mode: 0o755},
		imageFile{name: "cnb/buildpacks/test_shell/1.0/bin/build", text: buildScript, mode: 0o755},
	))
	dir := h.folder("packed", map[string]string{"app.sh": packedApp, "text": "one", ".gitignore": "ignored.txt\n/only/\n", "ignored.txt": "", "sub/ignored.txt": "", "only/x": "", ".git/config": ""})

	code, out, errs := h.lattice("build", "packed", dir, "--builder", "cluster/packs:1", "-e", "GREETING=h3llo")
	if code != 0 || out != "cluster/packed\n" || !strings.Contains(errs, "greeting is h3llo, secrets: 0") || !strings.Contains(errs, "dep is made") || regexp.MustCompile(`(?m) (ignored\.txt|only|\.git)$`).MatchString(errs) {
		t.Fatalf("exit code %d, %q\n%s", code, out, errs)
	}
	code, _, errs = h.lattice("build", "packed", dir, "--builder", "cluster/packs:1", "--buildpack", "test/shell")
	if code != 0 || !strings.Contains(errs, "dep from the cache") {
		t.Errorf("again: exit code %d, want the layer from the cache\n%s", code, errs)
	}
	h.ltc("create", "packed", "cluster/packed", "-p", "8080", "-m", "64")
	eventually(t, long, "the app answers", func() string {
		if _, body, err := h.get("packed."+domain, "/"); err != nil || body != "packed: one" {
			return body + errString(err)
		}
		return ""
	})
	for _, b := range h.builds() {
		if b.Build.Args["GREETING"] != app.Hidden && len(b.Build.Args) > 0 {
			t.Errorf("a variable is shown: %+v", b.Build)
		}
		for _, l := range h.logLines(b.Name) {
			if strings.Contains(l.Text, "Basic ") || strings.Contains(l.Text, b.Name+".") {
				t.Errorf("the token is in the log: %s", l.Text)
			}
		}
	}
	if out := h.ltc("builders"); !regexp.MustCompile(`cluster/packs:1 +yes +[12] image`).MatchString(out) {
		t.Errorf("builders:\n%s", out)
	}

	for _, c := range []struct {
		want string
		args []string
	}{
		{"none of the builder's buildpacks fits", []string{"other", h.folder("other", map[string]string{"x": ""}), "--builder", "cluster/packs:1"}},
		{"(?s)a buildpack failed to build .*this is the cause", []string{"failing", h.folder("failing", map[string]string{"app.sh": "", "fail": ""}), "--builder", "cluster/packs:1"}},
		{"is no builder", []string{"other", dir, "--builder", "cluster/run:1"}},
		{"the builder has no buildpack x/y", []string{"other", dir, "--builder", "cluster/packs:1", "--buildpack", "x/y"}},
	} {
		if errs := h.buildFails(c.args...); !regexp.MustCompile(c.want).MatchString(errs) {
			t.Errorf("%s\nwant %s", errs, c.want)
		}
	}

	out = h.ltc("build-droplet", "old", "cluster/packs:1", "-p", dir)
	if !strings.Contains(out, "Build completed") {
		t.Errorf("build-droplet: %s", out)
	}
	if out := h.ltc("list-droplets"); !regexp.MustCompile(`(?m)^old +20`).MatchString(out) {
		t.Errorf("list-droplets:\n%s", out)
	}
	cmd := h.command(h.binary, "export-droplet", "old")
	cmd.Dir = h.dir
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "exported to old.tar") {
		t.Fatalf("export-droplet: %v %s", err, out)
	}
	h.ltc("remove-droplet", "old")
	if out := h.ltc("list-droplets"); strings.Contains(out, "old") {
		t.Errorf("list-droplets after remove-droplet:\n%s", out)
	}
	h.ltc("import-droplet", "old", filepath.Join(h.dir, "old.tar"))
	if out := h.ltc("launch-droplet", "older", "old", "-p", "8080"); !strings.Contains(out, "older is now running") {
		t.Errorf("launch-droplet: %s", out)
	}
	if code, _, errs := h.lattice("remove-droplet", "old"); code != 14 || !strings.Contains(errs, "was launched from the droplet") {
		t.Errorf("remove-droplet of a running one: %d %s", code, errs)
	}
}
