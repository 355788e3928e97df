package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lattice/app"
)

// write writes a file into the host's folder of files and returns its path.
func (h *host) write(name, text string) string {
	h.t.Helper()
	path := filepath.Join(h.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
	return path
}

// read returns what is in a file.
func (h *host) read(path string) string {
	h.t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		h.t.Fatal(err)
	}
	return string(b)
}

// fails runs a client command that must end with code and returns what it said.
func (h *host) fails(code int, args ...string) string {
	h.t.Helper()
	got, out, errs := h.lattice(args...)
	if got != code {
		h.t.Fatalf("ltc %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), got, code, out, errs)
	}
	return errs
}

// has fails the test if text lacks one of the parts.
func has(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("there is no %q in\n%s", p, text)
		}
	}
}

// TestAppsByFiles drives apply, diff, export, prune, Compose files and targets
// against real containers.
func TestAppsByFiles(t *testing.T) {
	h := newLab(t, "one").host("one")
	h.up()
	t.Run("own files", func(t *testing.T) { h.ownFiles(t) })
	t.Run("compose", func(t *testing.T) { h.composeFiles(t) })
	t.Run("patterns", func(t *testing.T) {
		h.ltc("create", "test-a", "lattice/hello", "--no-routes")
		h.ltc("create", "test-b", "lattice/hello", "--no-routes")
		has(t, h.fails(13, "remove", "test-*"), "that would remove 2 apps: test-a, test-b", "--force")
		has(t, h.ltc("remove", "test-*", "--force"), "test-a removed.", "test-b removed.")
		has(t, h.ltc("list", "-q"), "mine\n", "web\n")
	})
	t.Run("targets", func(t *testing.T) { h.severalTargets(t) })
	t.Run("sync", func(t *testing.T) { h.syncs(t) })
	t.Run("debug logs", func(t *testing.T) {
		has(t, h.ltc("debug-logs", "--no-follow", "-n", "-1"), "["+h.name+"]")
		has(t, h.fails(14, "logs", ".lattice", "--no-follow"), "not found")
	})
	t.Run("completion", func(t *testing.T) {
		has(t, h.ltc("__complete", "status", ""), "mine\n", "web\n")
		has(t, h.ltc("__complete", "cell", "drain", ""), h.name+"\n")
	})
}

func (h *host) ownFiles(t *testing.T) {
	file := h.write("site/site.yaml", `
name: site
image: lattice/hello
instances: 2
env: {COLOR: green, SECRET: s3cr3t}
---
name: extra
image: lattice/hello
no_routes: true
`)
	has(t, h.ltc("diff", "-f", file), "site would be created", "extra would be created")
	has(t, h.ltc("apply", "-f", file, "--dry-run"), "start", "on "+h.name)
	has(t, h.ltc("apply", "-f", file), "site created.", "extra created.")
	h.mustGet("site."+domain, "/")
	h.ltc("diff", "-f", file, "--exit-code")
	h.ltc("create", "mine", "lattice/hello")

	// An export without secrets, changed and applied again, keeps them.
	exported := h.ltc("export", "site")
	if strings.Contains(exported, "s3cr3t") {
		t.Errorf("the export has a secret:\n%s", exported)
	}
	file = h.write("site/site.yaml", strings.Replace(exported, "instances: 2", "instances: 3\nmemory_mb: 64", 1))
	_, out, errs := h.lattice("apply", "-f", filepath.Dir(file))
	has(t, out, "site updated: revision 2.")
	has(t, errs, "Instances  2 → 3", "Memory     128M → 64M")
	st := h.status("site")
	if count(st, app.Running) != 3 || st.App.Revision != 2 {
		t.Errorf("got %+v", st)
	}
	has(t, h.ltc("status", "site", "--show-env"), `SECRET="s3cr3t"`)
	if code := h.fails(1, "diff", "-f", file, "--prune", "--exit-code"); !strings.Contains(code, "there are differences") {
		t.Errorf("got %s", code)
	}
	out = h.ltc("apply", "-f", file, "--prune")
	has(t, out, "site unchanged.", "extra removed.")
	if strings.Contains(h.ltc("list", "-q"), "extra") {
		t.Error("extra is still there")
	}
	h.mustGet("mine."+domain, "/")

	// With its values, an export makes the same app again.
	full := h.write("full.yaml", h.ltc("export", "site", "--show-env"))
	h.ltc("remove", "site")
	h.ltc("create", "-f", full)
	if again := h.ltc("export", "site", "--show-env"); again != h.read(full) {
		t.Errorf("got\n%s", again)
	}
	h.ltc("remove", "site")
}

func (h *host) composeFiles(t *testing.T) {
	const web = `
name: shop
services:
  web:
    image: lattice/hello:${TAG:-latest}
    ports: ["8080"]
    environment: {GREETING: "${GREETING}"}
    restart: always
    deploy: {replicas: 2, resources: {limits: {memory: 48M}}}
`
	h.write("shop/.env", "GREETING=hello\n")
	file := h.write("shop/compose.yaml", web+`
    depends_on: {api: {condition: service_healthy}}
  api:
    image: lattice/hello
    expose: ["8080"]
    volumes: ["data:/data", "./src:/src"]
volumes: {data: {}}
`)
	has(t, h.fails(13, "apply", "-f", file), "an instance can't have a folder of a host", "service web: restart", "--skip-unsupported")
	has(t, h.ltc("apply", "-f", file, "--skip-unsupported"), "api created.", "web created.")
	front, back := h.status("web"), h.status("api")
	if count(front, app.Running) != 2 || front.App.MemoryMB != 48 || front.App.Env["GREETING"] == "" || front.App.Set != "shop" {
		t.Errorf("got %+v", front)
	}
	if ready := back.Instances[0].Since; ready.After(front.App.CreatedAt.Add(time.Second)) {
		t.Errorf("web was created at %v, before what it needs was healthy at %v", front.App.CreatedAt, ready)
	}
	h.mustGet("web."+domain, "/")
	if code, _, _ := h.get("api."+domain, "/"); code != 404 {
		t.Errorf("what is only exposed answers %d from outside, want 404", code)
	}
	h.write("shop/compose.yaml", web)
	has(t, h.ltc("volumes"), "api/data/0", "IN USE")
	has(t, h.ltc("apply", "-f", file, "--prune"), "web unchanged.", "api removed.")
	has(t, h.ltc("volumes", "remove", "api", "--force"), "api/data/0 removed")
	h.ltc("status", "mine")
}

func (h *host) severalTargets(t *testing.T) {
	data := h.read(filepath.Join(h.home(), ".lattice", "config.json"))
	var config struct {
		Targets map[string]struct{ URL, Token, CA string }
	}
	if err := json.Unmarshal([]byte(data), &config); err != nil {
		t.Fatal(err)
	}
	own := config.Targets["default"]
	token, ca := h.write("token", own.Token), h.write("ca.pem", own.CA)
	has(t, h.ltc("target", "add", "other", own.URL, "--token-file", token, "--ca", ca), "Target other added")
	h.ltc("target", "use", "other")
	has(t, h.ltc("list", "-q"), "web")
	h.ltc("logout")
	h.fails(10, "list")
	has(t, h.fails(10, "login", "--token-file", ca), "no token")
	has(t, h.ltc("login", "--token-file", token), "Logged in")
	has(t, h.ltc("list", "-q"), "web")
	if listed := h.ltc("target", "list", "-o", "json"); strings.Contains(listed, own.Token) {
		t.Error("target list shows the token")
	}
	h.ltc("target", "use", "default")
	h.ltc("target", "remove", "other")
}

// syncs lets an older program, as it were, replace itself.
func (h *host) syncs(t *testing.T) {
	program := h.read(h.binary)
	path := filepath.Join(h.dir, "old", "ltc")
	h.write("old/ltc", program+"of yesterday")
	if err := os.Chmod(path, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"is the program of the brain now", "is the program of the brain already"} {
		out, err := h.command(path, "sync").CombinedOutput()
		if err != nil {
			t.Fatalf("ltc sync: %v\n%s", err, out)
		}
		has(t, string(out), want)
	}
	if h.read(path) != program {
		t.Error("it is not the brain's program after all")
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	has(t, h.fails(12, "sync", "--to", "/proc/nix"), "error")
}
