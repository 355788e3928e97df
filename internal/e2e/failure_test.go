package e2e

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestBadInputChangesNothing gives the command line and the API what they must
// refuse, each with a sentence.
func TestBadInputChangesNothing(t *testing.T) {
	h := newLab(t, "one").host("one")
	h.up()
	for _, c := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"image in capitals", []string{"create", "web", "Nginx"}, 13, "upper-case"},
		{"image with a scheme", []string{"create", "web", "https://example.com/x"}, 13, "https://"},
		{"name with capitals", []string{"create", "Web", "lattice/hello"}, 13, "web"},
		{"name with a dot", []string{"create", "a.b", "lattice/hello"}, 13, "a.b"},
		{"port out of range", []string{"create", "web", "lattice/hello", "-p", "70000"}, 13, "70000"},
		{"too little memory", []string{"create", "web", "lattice/hello", "-m", "3"}, 13, "below 16"},
		{"weight out of range", []string{"create", "web", "lattice/hello", "-c", "101"}, 13, "101"},
		{"the same route twice", []string{"create", "web", "lattice/hello", "-R", "a", "-R", "a"}, 13, "twice"},
		{"check of a port the app hasn't", []string{"create", "web", "lattice/hello", "-p", "80", "-M", "81"}, 13, "81"},
		{"unknown app", []string{"scale", "nobody", "2"}, 14, "nobody"},
		{"no number", []string{"scale", "nobody", "two"}, 13, "two"},
		{"unknown command", []string{"creat"}, 1, "create"},
		{"unknown flag", []string{"create", "web", "lattice/hello", "--instance", "2"}, 13, "--instances"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, out, errs := h.lattice(c.args...)
			if code != c.code || !strings.Contains(errs, c.says) || out != "" {
				t.Errorf("exit code %d, want %d with %q:\n%s%s", code, c.code, c.says, out, errs)
			}
		})
	}
	for _, c := range []struct {
		name, method, path, body string
		code                     int
		says                     string
	}{
		{"malformed JSON", "POST", "/api/v1/apps", `{"name":`, 400, "JSON"},
		{"unknown field", "POST", "/api/v1/apps", `{"name":"web","image":"a","colour":1}`, 400, "colour"},
		{"too big", "POST", "/api/v1/apps", `{"name":"` + strings.Repeat("x", 1<<20) + `"}`, 413, "1 MiB"},
		{"unknown app", "DELETE", "/api/v1/apps/nobody", "", 404, "nobody"},
		{"unknown path", "GET", "/api/v1/nothing", "", 404, "nothing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, body := h.api(c.method, c.path, c.body, true)
			if code != c.code || !strings.Contains(body, c.says) {
				t.Errorf("got %d %s, want %d with %q", code, body, c.code, c.says)
			}
		})
	}
	if code, body := h.api("GET", "/api/v1/apps", "", false); code != 401 {
		t.Errorf("without a token: %d %s, want 401", code, body)
	}
	if code, body := h.api("GET", "/api/v1/apps", "", true); code != 200 || strings.TrimSpace(body) != "[]" {
		t.Errorf("after all that there are apps: %d %s", code, body)
	}
}

// api sends a raw request to the API and returns status and body.
func (h *host) api(method, path, body string, withToken bool) (int, string) {
	h.t.Helper()
	token := ""
	if withToken {
		token = h.token()
	}
	code, answer, err := h.request(method, path, body, token)
	if err != nil {
		h.t.Fatalf("%s %s: %v", method, path, err)
	}
	return code, answer
}

// tryAPI is api for a brain that may be gone.
func (h *host) tryAPI(method, path, body string) (int, string, error) {
	return h.request(method, path, body, h.token())
}

func (h *host) request(method, path, body, token string) (int, string, error) {
	req, err := http.NewRequest(method, "https://"+h.addr+":7443"+path, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: h.dial, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

// token returns the user's token from the client's target file.
func (h *host) token() string {
	h.t.Helper()
	var file struct {
		Targets map[string]struct{ Token string }
	}
	b, err := os.ReadFile(filepath.Join(h.home(), ".lattice", "config.json"))
	if err == nil {
		err = json.Unmarshal(b, &file)
	}
	if err != nil {
		h.t.Fatal(err)
	}
	return file.Targets["default"].Token
}

// TestAppsThatCannotRun checks that create says why, and fails.
func TestAppsThatCannotRun(t *testing.T) {
	h := newLab(t, "one").host("one")
	h.up()
	for _, c := range []struct {
		name string
		args []string
		code int
		says []string
	}{
		{"no such command", []string{"-i", "1", "--", "/nope", "-x"}, 14, []string{"/nope"}},
		{"ends at once", []string{"-e", "PORT=none"}, 14, []string{"exited with code", "last lines"}},
		{"listens elsewhere", []string{"-p", "8080,9999", "-M", "9999", "--start-timeout", "1s", "-t", "30s"}, 14, []string{"not healthy within 1s", "9999", "refused"}},
		{"fits nowhere", []string{"-m", "9000G"}, 11, []string{"one has", "MiB"}},
		{"time runs out", []string{"-p", "8080,9999", "-M", "9999", "-t", "1s"}, 14, []string{"9999"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, _, errs := h.lattice(append([]string{"create", "bad", "lattice/hello"}, c.args...)...)
			if code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			for _, s := range c.says {
				if !strings.Contains(errs, s) {
					t.Errorf("%q is missing in:\n%s", s, errs)
				}
			}
			h.ltc("remove", "bad")
		})
	}
	if code, _, errs := h.lattice("create", "bad", "127.0.0.1:1/no/image"); code != 15 || !strings.Contains(errs, "127.0.0.1:1") {
		t.Errorf("registry that isn't there: exit code %d:\n%s", code, errs)
	}
}

// TestSecretsStayHidden looks for an env value and the tokens where they must
// not be.
func TestSecretsStayHidden(t *testing.T) {
	h := newLab(t, "one").host("one")
	p := h.up("--log-level", "debug")
	const secret = "s3cr3t-of-the-test"
	h.ltc("create", "hello", "lattice/hello", "-e", "PASSWORD="+secret)
	out := h.ltc("status", "hello") + h.ltc("list") + h.ltc("status", "hello", "-o", "json")
	log, err := os.ReadFile(p.log)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{secret, h.token()} {
		for what, text := range map[string]string{"what ltc shows": out, "lattice's log": string(log), "a process list": processes(t)} {
			if strings.Contains(text, s) {
				t.Errorf("%s has a secret in it", what)
			}
		}
	}
	if body := h.mustGet("hello."+domain, "/env"); !strings.Contains(body, "PASSWORD="+secret) {
		t.Errorf("the app did not get its secret: %s", body)
	}
}

// processes returns the command lines of all processes.
func processes(t *testing.T) string {
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var all bytes.Buffer
	for _, f := range files {
		b, _ := os.ReadFile(f) // it may have ended
		all.Write(b)
	}
	return all.String()
}
