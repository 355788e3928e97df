package manifest_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"lattice/app"
	"lattice/internal/manifest"
)

func TestParseLRP(t *testing.T) {
	const text = `{
  "process_guid": "web", "domain": "lattice", "rootfs": "docker:///cloudfoundry/lattice-app#v1", "instances": 2,
  "env": [{"name": "A", "value": "1"}], "start_timeout": 90, "disk_mb": 64, "memory_mb": 128, "cpu_weight": 50,
  "ports": [8080, 2222], "log_guid": "web", "log_source": "APP", "metrics_guid": "web", "annotation": "mine",
  "setup": {"download": {"from": "http://x/healthcheck.tgz", "to": "/tmp"}},
  "action": {"parallel": {"actions": [
    {"run": {"path": "/lattice-app", "args": ["--quiet", "x y"], "dir": "/srv", "user": "vcap", "env": [{"name": "PORT", "value": "8080"}]}},
    {"run": {"path": "/tmp/diego-sshd", "args": ["-address=0.0.0.0:2222"]}}]}},
  "monitor": {"timeout": {"timeout": 1000000000, "action": {"run": {"path": "/tmp/healthcheck", "args": ["-timeout", "2s", "-port", "8080", "-uri", "/health"]}}}},
  "routes": {"cf-router": [{"hostnames": ["web.local.lattice.cf", "www.example.com/shop"], "port": 8080}], "diego-ssh": {}, "tcp-router": []}
}`
	s, unused, err := manifest.ParseLRP([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	want := app.App{
		Name: "web", Image: "cloudfoundry/lattice-app:v1", Instances: 2, Command: []string{"/lattice-app", "--quiet", "x y"}, Dir: "/srv", User: "vcap",
		Env: map[string]string{"A": "1", "PORT": "8080"}, StartTimeout: app.Duration(90 * time.Second), DiskMB: 64, MemoryMB: 128, CPUWeight: 50,
		Ports: []int{8080, 2222}, Check: app.Check{Type: app.CheckHTTP, Port: 8080, Path: "/health", Timeout: app.Duration(2 * time.Second)},
		Routes: []app.Route{{Host: "web.local.lattice.cf", Port: 8080}, {Host: "www.example.com", Path: "/shop", Port: 8080}},
	}.WithDefaults()
	if !reflect.DeepEqual(s.App, want) {
		t.Errorf("got  %+v\nwant %+v", s.App, want)
	}
	if got := strings.Join(unused, "|"); !strings.Contains(got, "setup") || !strings.Contains(got, "annotation") || !strings.Contains(got, "tcp-router") || strings.Contains(got, "ssh") {
		t.Errorf("got %q", unused)
	}
}

func TestParseLRPShort(t *testing.T) {
	s, unused, err := manifest.ParseLRP([]byte(`{"process_guid":"w","rootfs":"docker://registry:5000/me/w","action":{"run":{"path":"sh","args":["-c","true"]}},
		"monitor":{"run":{"path":"test","args":["-f","it's"]}}}`))
	want := app.Check{Type: app.CheckCommand, Command: `'test' '-f' 'it'\''s'`, Timeout: app.Duration(time.Second)}
	if err != nil || len(unused) > 0 || s.App.Image != "registry:5000/me/w" || !s.App.NoRoutes || s.App.Instances != 0 || s.App.Check != want {
		t.Errorf("got %+v, %q, %v", s.App, unused, err)
	}
}

func TestParseLRPRefuses(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", "no DesiredLRPCreateRequest"},
		{`{"process_guid":"w","bogus":1}`, `unknown field "bogus"`},
		{`{"rootfs":"docker:///x"}`, "process_guid is missing"},
		{`{"process_guid":"w","rootfs":"preloaded:cflinuxfs2"}`, "only images of containers"},
		{`{"process_guid":"w","rootfs":"docker:///x"}`, "action: it must be"},
		{`{"process_guid":"w","rootfs":"docker:///x","action":{"download":{}}}`, `"download" is nothing an app can do`},
		{`{"process_guid":"w","rootfs":"docker:///x","action":{"serial":{"actions":[{"run":{"path":"a"}},{"run":{"path":"b"}}]}}}`, "runs 2 processes"},
		{`{"process_guid":"w","rootfs":"docker:///x","action":{"run":{"path":"a"}},"monitor":{"run":{"path":"/tmp/healthcheck","args":["-port","x"]}}}`, "no value for"},
		{`{"process_guid":"w","rootfs":"docker:///x","action":{"run":{"path":"a"}},"routes":{"cf-router":7}}`, "cf-router"},
		{`{"process_guid":7}`, "process_guid must be string"},
	} {
		if _, _, err := manifest.ParseLRP([]byte(c.text)); !errors.Is(err, app.ErrInvalid) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.text, err, c.want)
		}
	}
}

func FuzzParseLRP(f *testing.F) {
	f.Add([]byte(`{"process_guid":"w","rootfs":"docker:///x#y","action":{"try":{"action":{"run":{"path":"a"}}}},"routes":{"cf-router":[{"hostnames":["a/b"],"port":1}]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, _, err := manifest.ParseLRP(data)
		if err == nil && (s.App.Name == "" || s.App.Image == "" || len(s.App.Command) == 0) {
			t.Fatalf("got %+v without an error", s.App)
		}
		if err != nil && !errors.Is(err, app.ErrInvalid) {
			t.Fatalf("%v is not ErrInvalid", err)
		}
	})
}
