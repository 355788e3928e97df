package e2e

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"golang.org/x/crypto/bcrypt"

	"lattice/app"
)

// registryAt starts Debian's registry with the given lines of configuration
// beside storage and http.addr.
func (h *host) registryAt(port int, httpLines, more string) *proc {
	h.t.Helper()
	dir := filepath.Join(h.dir, fmt.Sprintf("registry-%d", port))
	config := dir + ".yml"
	text := fmt.Sprintf("version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: %s\nhttp:\n  addr: :%d\n%s%s", dir, port, httpLines, more)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
	cmd := h.command("docker-registry", "serve", config)
	if err := cmd.Start(); err != nil {
		h.t.Fatalf("start docker-registry (a Debian package): %v", err)
	}
	p := &proc{cmd: cmd, log: os.DevNull}
	h.procs = append(h.procs, p)
	eventually(h.t, 30*time.Second, "the registry answers", func() string {
		c, err := h.dial(context.Background(), "tcp", fmt.Sprintf("%s:%d", h.addr, port))
		if err != nil {
			return err.Error()
		}
		return errString(c.Close())
	})
	return p
}

// pushAs is push with a user, also to a registry whose certificate nobody knows.
func (h *host) pushAs(ref, user, password string) {
	h.t.Helper()
	tag, opts := h.tagAs(ref, user, password)
	if err := remote.Write(tag, sampleImage(h.t, filepath.Join(h.dir, "layout")), opts...); err != nil {
		h.t.Fatalf("push %s: %v", ref, err)
	}
}

// tagAs returns what is needed to push under a name as a user; "" is nobody.
func (h *host) tagAs(ref, user, password string) (name.Reference, []remote.Option) {
	h.t.Helper()
	tag, err := name.ParseReference(ref, name.Insecure)
	if err != nil {
		h.t.Fatal(err)
	}
	through := &http.Transport{
		DialContext:     func(ctx context.Context, network, addr string) (net.Conn, error) { return h.dial(ctx, network, addr) },
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}
	opts := []remote.Option{remote.WithTransport(through)}
	if user != "" {
		opts = append(opts, remote.WithAuth(&authn.Basic{Username: user, Password: password}))
	}
	return tag, opts
}

// certificate makes a certificate for the host's address and returns the
// files of it and of its key.
func (h *host) certificate() (cert, key string) {
	h.t.Helper()
	cert, key = filepath.Join(h.dir, "reg.crt"), filepath.Join(h.dir, "reg.key")
	h.run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=registry",
		"-addext", "subjectAltName=IP:"+h.addr, "-keyout", key, "-out", cert)
	return cert, key
}

// TestRegistries pulls from a registry with passwords, from one with a
// certificate of its own, and from one without TLS. What is wrong gives a
// sentence with the cause, and leaves nothing behind.
func TestRegistries(t *testing.T) {
	h := newLab(t, "one").host("one")
	h.up()

	hash, err := bcrypt.GenerateFromPassword([]byte("s3cret"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	htpasswd := filepath.Join(h.dir, "htpasswd")
	if err := os.WriteFile(htpasswd, []byte("me:"+string(hash)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cert, key := h.certificate()
	tlsLines := fmt.Sprintf("  tls:\n    certificate: %s\n    key: %s\n", cert, key)
	h.registryAt(5001, tlsLines, fmt.Sprintf("auth:\n  htpasswd:\n    realm: test\n    path: %s\n", htpasswd))
	h.pushAs("10.99.0.1:5001/private/hello:1", "me", "s3cret")

	refused := func(code int, want string, args ...string) {
		t.Helper()
		got, _, errs := h.lattice(args...)
		if got != code || !strings.Contains(errs, want) {
			t.Errorf("ltc %s: exit code %d, want %d and %q:\n%s", strings.Join(args, " "), got, code, want, errs)
		}
		if strings.Contains(errs, "s3cret") || strings.Contains(errs, "wr0ng") {
			t.Errorf("ltc %s tells a password:\n%s", strings.Join(args, " "), errs)
		}
	}
	const image = "10.99.0.1:5001/private/hello:1"
	refused(15, "is not trusted", "create", "web", image)
	refused(15, "is not trusted", "registry", "add", "10.99.0.1:5001")
	for _, trust := range [][]string{{"--insecure"}, {"--ca", cert}} {
		h.ltc(append([]string{"registry", "add", "10.99.0.1:5001", "--no-check"}, trust...)...)
		refused(15, "needs a login", "create", "web", image)
	}
	h.loginsOfApps(image)
	if out, code := h.withInput("wr0ng\n", "registry", "login", "10.99.0.1:5001", "--username", "me", "--password-stdin", "--ca", cert); code == 0 || !strings.Contains(out, "password is wrong") {
		t.Errorf("login with a wrong password: exit code %d\n%s", code, out)
	}
	if out, code := h.withInput("s3cret\n", "registry", "login", "10.99.0.1:5001", "--username", "me", "--password-stdin"); code != 0 { // its CA stays
		t.Fatalf("login: exit code %d\n%s", code, out)
	}
	h.ltc("create", "web", image)
	if body := h.mustGet("web."+domain, "/"); !strings.Contains(body, "web") {
		t.Errorf("answer: %s", body)
	}
	h.ltc("scale", "web", "2")
	h.ltc("scale", "web", "1")
	refused(15, "has no such image or tag", "create", "none", "10.99.0.1:5001/private/hello:2")
	refused(15, "refuses connections", "create", "none", "10.99.0.1:5999/x")
	refused(13, "upper-case", "create", "none", "10.99.0.1:5001/private/HELLO")

	if out := h.ltc("registry", "list"); !strings.Contains(out, "10.99.0.1:5001") || !strings.Contains(out, "me") || strings.Contains(out, "s3cret") {
		t.Errorf("registry list:\n%s", out)
	}
	for _, path := range []string{"/api/v1/registries", "/api/v1/apps/web"} {
		if _, body := h.api("GET", path, "", true); strings.Contains(body, "s3cret") {
			t.Errorf("%s tells the password: %s", path, body)
		}
	}
	files, err := filepath.Glob(filepath.Join(h.data(), "brain", "registries*"))
	if err != nil || len(files) != 2 {
		t.Fatalf("files: %v %v", files, err)
	}
	for _, f := range files {
		if b, err := os.ReadFile(f); err != nil || strings.Contains(string(b), "s3cret") {
			t.Errorf("%s: %v, or it has the password in clear", f, err)
		}
	}

	h.ltc("registry", "allow", "cluster/**")
	refused(13, "may not run here", "create", "more", image)
	h.ltc("create", "bundled", "lattice/hello", "-m", "64")
	h.ltc("registry", "disallow", "cluster/**")
	h.ltc("create", "more", image, "-m", "64")
	h.withoutDockerImages(image, refused)
	h.mirror(refused)
	h.ltc("remove", "web", "more", "bundled")
	h.ltc("registry", "remove", "10.99.0.1:5001")
	if st := h.ltc("list"); strings.Contains(st, "none") {
		t.Errorf("an app without an image was left behind:\n%s", st)
	}
}

// withoutDockerImages takes the feature away while web and more need it and bundled
// doesn't, over a restart of all.
func (h *host) withoutDockerImages(image string, refused func(code int, want string, args ...string)) {
	h.t.Helper()
	h.ltc("feature", "disable", "docker-images")
	state := func(name string, want int) {
		h.t.Helper()
		eventually(h.t, time.Minute, fmt.Sprintf("%d instances of %s run", want, name), func() string {
			if st := h.status(name); count(st, app.Running) != want || len(st.Instances) != want {
				return fmt.Sprintf("%+v", st.Instances)
			}
			return ""
		})
	}
	state("web", 0)
	state("more", 0)
	state("bundled", 1)
	refused(13, "the feature docker-images is disabled", "create", "late", image)
	refused(13, "the feature docker-images is disabled", "run", image)
	if out := h.ltc("explain", "web"); !strings.Contains(out, "feature enable docker-images") {
		h.t.Errorf("explain:\n%s", out)
	}
	h.ltc("push", "../node/bundle/hello.tar", "own:1")
	h.ltc("create", "pushed", "cluster/own:1", "-m", "64")
	if out := h.ltc("events", "--kind", "feature"); !strings.Contains(out, "docker-images is disabled: 2 apps need it") {
		h.t.Errorf("events:\n%s", out)
	}
	h.ltc("feature", "enable", "docker-images")
	state("web", 1)
	state("more", 1)
	h.mustGet("pushed."+domain, "/")
	h.ltc("remove", "pushed")
}

// loginsOfApps runs apps and a task with logins of their own, which nobody else
// has, and which go with them.
func (h *host) loginsOfApps(image string) {
	h.t.Helper()
	kept := func() string {
		b, err := os.ReadFile(filepath.Join(h.data(), "brain", "registries.json"))
		if err != nil {
			h.t.Fatal(err)
		}
		if strings.Contains(string(b), "s3cret") {
			h.t.Errorf("a password is kept in clear: %s", b)
		}
		return string(b)
	}
	as := []string{"--registry-username", "me", "--registry-password-stdin"}
	for _, args := range [][]string{{"create", "own", image, "-m", "64"}, {"run", image}} {
		if out, code := h.withInput("wr0ng\n", append(args, as...)...); code != 15 || !strings.Contains(out, "password is wrong") || strings.Contains(out, "wr0ng") {
			h.t.Errorf("ltc %s with a wrong password: exit code %d\n%s", args[0], code, out)
		}
	}
	if strings.Contains(kept(), "app own") {
		h.t.Errorf("a login is kept of an app that was refused: %s", kept())
	}
	if out, code := h.withInput("s3cret\n", append([]string{"create", "own", image, "-m", "64"}, as...)...); code != 0 {
		h.t.Fatalf("create with a login: exit code %d\n%s", code, out)
	}
	if out, code := h.withInput("s3cret\n", append([]string{"run", image, "--name", "once", "-m", "64", "--registry-username", "me", "--registry-password-stdin"}, "--", "/bin/hello", "task")...); code != 0 {
		h.t.Errorf("run with a login: exit code %d\n%s", code, out)
	}
	if out, code := h.withInput("wr0ng\n", append([]string{"update", "own"}, as...)...); code != 15 {
		h.t.Errorf("update with a wrong password: exit code %d\n%s", code, out)
	}
	if out, code := h.withInput("s3cret\n", append([]string{"update", "own"}, as...)...); code != 0 || !strings.Contains(out, "No instance needed a new container") {
		h.t.Errorf("update of the login: exit code %d\n%s", code, out)
	}
	if k := kept(); !strings.Contains(k, "app own") || !strings.Contains(k, "task once") {
		h.t.Errorf("logins that are kept: %s", k)
	}
	for _, path := range []string{"/api/v1/apps/own", "/api/v1/tasks/once", "/api/v1/events?lines=-1"} {
		if _, body := h.api("GET", path, "", true); strings.Contains(body, "s3cret") || strings.Contains(body, "wr0ng") {
			h.t.Errorf("%s tells a password: %s", path, body)
		}
	}
	h.ltc("remove", "own")
	if k := kept(); strings.Contains(k, "app own") {
		h.t.Errorf("the login of an app that was removed is kept: %s", k)
	}
}

// withInput runs a command of the client with something on its standard input,
// and returns all that it printed.
func (h *host) withInput(input string, args ...string) (out string, code int) {
	h.t.Helper()
	cmd := h.command(h.binary, args...)
	cmd.Stdin = strings.NewReader(input)
	b, _ := cmd.CombinedOutput() // the code tells
	return string(b), cmd.ProcessState.ExitCode()
}

// TestTheCacheOutlivesTheRegistry starts instances on another cell when the
// registry that the image came from is gone, and keeps the bits of a tag until
// they are asked for anew.
func TestTheCacheOutlivesTheRegistry(t *testing.T) {
	l := newLab(t, "brain", "c1", "c2")
	h := l.host("brain")
	h.waitReady(h.start("brain"))
	token := strings.TrimSpace(h.ltc("token"))
	for _, n := range []string{"c1", "c2"} {
		c := l.host(n)
		c.waitReady(c.start("cell", "--join", h.addr, "--token", token, "--log-level", "debug"))
	}
	reg := h.registryAt(5000, "", "")
	h.pushAs("10.99.0.1:5000/team/hello:v1", "", "")
	h.ltc("registry", "add", "10.99.0.1:5000", "--plain-http")
	h.ltc("create", "web", "10.99.0.1:5000/team/hello:v1", "-m", "64")
	first := h.status("web")
	if !strings.HasPrefix(first.App.Digest, "sha256:") {
		t.Fatalf("the digest is %q", first.App.Digest)
	}

	// The tag moves: more instances run the old bits, until somebody pulls.
	other := "10.99.0.1:5000/team/hello:v1"
	h.pushOther(other)
	h.ltc("scale", "web", "2")
	if d := h.status("web").App.Digest; d != first.App.Digest {
		t.Errorf("the digest changed to %s by itself", d)
	}
	h.ltc("update", "web", "--pull")
	second := h.status("web")
	if second.App.Digest == first.App.Digest || second.App.Revision != first.App.Revision+1 {
		t.Errorf("after update --pull: digest %s, revision %d", second.App.Digest, second.App.Revision)
	}

	reg.kill()
	h.ltc("scale", "web", "6")
	if got := perCell(h.status("web")); got["c1"] != 3 || got["c2"] != 3 {
		t.Errorf("spread: %v, want three on each", got)
	}
	if !l.host("c1").logs("a layer comes from another cell") && !l.host("c2").logs("a layer comes from another cell") {
		t.Error("no cell took a layer from the other")
	}
	h.ltc("rollback", "web")
	if d := h.status("web").App.Digest; d != first.App.Digest {
		t.Errorf("after the rollback the digest is %s, want %s", d, first.App.Digest)
	}
	h.ltc("create", "again", other, "-m", "64") // what the tag meant when it was last asked
	var stored []app.StoredImage
	if err := json.Unmarshal([]byte(h.ltc("images", "--output", "json")), &stored); err != nil || len(stored) != 2 {
		t.Errorf("images: %v %+v", err, stored)
	}
	for _, i := range stored {
		if len(i.Cells) == 0 {
			t.Errorf("no cell is told of: %+v", i)
		}
		if len(i.UsedBy) == 0 || !i.Cached || i.Partial {
			t.Errorf("image: %+v", i)
		}
	}
	h.ltc("remove", "again")
	if out := h.ltc("images", "prune", "--unused", "0s"); !strings.Contains(out, "Deleted 0 images") || !strings.Contains(out, "2 cells delete theirs") {
		t.Errorf("prune of what is in use:\n%s", out)
	}
	h.ltc("restart", "web") // the registry is gone: what is needed is there still
	h.ltc("remove", "web")
	eventually(t, time.Minute, "nothing runs any more", func() string {
		if st := h.ltc("cells", "-o", "json"); strings.Contains(st, `"running": 1`) {
			return st
		}
		return ""
	})
	if out := h.ltc("images", "prune", "--unused", "0s"); !strings.Contains(out, "Deleted 2 images") {
		t.Errorf("prune:\n%s", out)
	}
	for _, n := range []string{"c1", "c2"} {
		c := l.host(n)
		eventually(t, time.Minute, "cell "+n+" has deleted its images", func() string {
			left := append(c.below("io.containerd.content.v1.content/blobs/sha256/*"), c.below("io.containerd.content.v1.content/ingest/*")...)
			if left = append(left, c.below("io.containerd.snapshotter.v1.overlayfs/snapshots/*")...); len(left) > 0 {
				h.ltc("images", "prune", "--unused", "0s") // the last container may have gone after the first order
				return fmt.Sprint(left)
			}
			return ""
		})
	}
	if out := h.ltc("images", "--output", "json"); strings.TrimSpace(out) != "[]" {
		t.Errorf("after prune: %s", out)
	}
}

// skopeo pushes as Docker does, with the token as password and with a wrong one,
// and pulls what it has pushed.
func (h *host) skopeo(file string) {
	h.t.Helper()
	copyAs := func(token, to string) ([]byte, error) {
		auth := filepath.Join(h.dir, "auth.json")
		text := fmt.Sprintf(`{"auths":{"%s:7443":{"auth":%q}}}`, h.addr, base64.StdEncoding.EncodeToString([]byte("me:"+token)))
		if err := os.WriteFile(auth, []byte(text), 0o600); err != nil {
			h.t.Fatal(err)
		}
		return h.command("skopeo", "copy", "--insecure-policy", "--authfile", auth, "--dest-tls-verify=false", "docker-archive:"+file, to).CombinedOutput()
	}
	to := "docker://" + h.addr + ":7443/team/skopeo:1"
	if out, err := copyAs("wrong", to); err == nil {
		h.t.Errorf("skopeo pushes with a wrong token: %s", out)
	}
	token := h.token()
	if out, err := copyAs(token, to); err != nil {
		h.t.Fatalf("skopeo copy (a Debian package): %v\n%s", err, out)
	}
	if out, err := copyAs(token, "docker://"+h.addr+":7443/registry.lan/web:1"); err == nil {
		h.t.Errorf("skopeo pushes among the images of another registry: %s", out)
	}
	h.ltc("create", "skopeo", "cluster/team/skopeo:1", "-m", "64")
	h.mustGet("skopeo."+domain, "/")
	h.ltc("remove", "skopeo")
}

// below returns what the cell's containerd has there.
func (h *host) below(pattern string) []string {
	h.t.Helper()
	found, err := filepath.Glob(filepath.Join(h.data(), "cell", "containerd", pattern))
	if err != nil {
		h.t.Fatal(err)
	}
	return found
}

// logs reports whether a process of the host has logged the text.
func (h *host) logs(text string) bool {
	for _, p := range h.procs {
		if b, err := os.ReadFile(p.log); err == nil && strings.Contains(string(b), text) {
			return true
		}
	}
	return false
}

// pushOther moves a tag to an image of other bits.
func (h *host) pushOther(ref string) {
	h.t.Helper()
	img := otherImage(h.t, filepath.Join(h.dir, "layout"))
	tag, err := name.ParseReference(ref, name.Insecure)
	if err != nil {
		h.t.Fatal(err)
	}
	through := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) { return h.dial(ctx, network, addr) }}
	if err := remote.Write(tag, img, remote.WithTransport(through)); err != nil {
		h.t.Fatalf("push %s: %v", ref, err)
	}
}

// TestPushAFile brings an image from a file into the cluster's registry.
func TestPushAFile(t *testing.T) {
	h := newLab(t, "one").host("one")
	h.up()
	file := filepath.Join(h.dir, "web.tar")
	tag, err := name.NewTag("team/web:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := tarball.WriteToFile(file, tag, otherImage(t, filepath.Join(h.dir, "layout"))); err != nil {
		t.Fatal(err)
	}
	if out := h.ltc("push", file); !strings.Contains(out, "cluster/team/web:1") {
		t.Errorf("push: %s", out)
	}
	h.ltc("create", "web", "cluster/team/web:1", "-m", "64")
	h.mustGet("web."+domain, "/")
	if out := h.ltc("push", "../node/bundle/hello.tar", "hi:2"); !strings.Contains(out, "cluster/hi:2") {
		t.Errorf("push of an OCI archive: %s", out)
	}
	h.ltc("create", "hi", "cluster/hi:2", "-m", "64")
	if h.ltc("create", "filed", "--image-file", file, "-m", "64"); h.status("filed").App.Image != "cluster/team/web:1" {
		t.Errorf("app of a file: %+v", h.status("filed").App)
	}
	h.mustGet("hi."+domain, "/")
	if code, _, errs := h.lattice("create", "no", "cluster/nothing"); code != 15 || !strings.Contains(errs, "is not in the cluster's registry") {
		t.Errorf("create of what was never pushed: exit code %d\n%s", code, errs)
	}
	if code, _, errs := h.lattice("push", "/etc/passwd", "x"); code != 12 || !strings.Contains(errs, "can't be read as an image") {
		t.Errorf("push of no image: exit code %d\n%s", code, errs)
	}
	h.skopeo(file)
	code, _, err := h.get("127.0.0.1:7443", "/v2/")
	if err == nil && code == 200 {
		t.Error("the registry lets anybody in")
	}
	h.ltc("remove", "web", "hi", "filed")
}
