package cells

import (
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"lattice/app"
)

func TestSpec(t *testing.T) {
	img := Image{Name: "img", Entrypoint: []string{"/run"}, Cmd: []string{"-v"}, Env: []string{"PATH=/bin", "PORT=1", "A=image"},
		User: "web", Dir: "/srv", Ports: []int{80, 443}, StopSignal: "SIGQUIT"}
	p := place{guid: "g", host: "10.1.1.1", domain: "d.test", index: 2,
		lease: Lease{GUID: "g", IP: netip.MustParseAddr("172.30.0.5"), Ports: []app.PortPair{{Container: 80, Host: 61000}, {Container: 443, Host: 61001}}}}
	for _, c := range []struct {
		name string
		app  app.App
		img  Image
		want func(Spec) any
		is   any
	}{
		{"the image's command", app.App{}, img, func(s Spec) any { return s.Args }, []string{"/run", "-v"}},
		{"the user's replaces both", app.App{Command: []string{"sh"}}, img, func(s Spec) any { return s.Args }, []string{"sh"}},
		{"the user's arguments replace the image's", app.App{Args: []string{"-q"}}, img, func(s Spec) any { return s.Args }, []string{"/run", "-q"}},
		{"a command with arguments", app.App{Command: []string{"sh"}, Args: []string{"-c", "ls"}}, img, func(s Spec) any { return s.Args }, []string{"sh", "-c", "ls"}},
		{"arguments alone", app.App{Args: []string{"ls"}}, Image{}, func(s Spec) any { return s.Args }, []string{"ls"}},
		{"the image's user and folder", app.App{}, img, func(s Spec) any { return s.User + s.Dir }, "web/srv"},
		{"the user's user and folder", app.App{User: "7", Dir: "/x"}, img, func(s Spec) any { return s.User + s.Dir }, "7/x"},
		{"the root folder", app.App{}, Image{Cmd: []string{"a"}}, func(s Spec) any { return s.Dir }, "/"},
		{"the image's stop signal", app.App{}, img, func(s Spec) any { return s.StopSignal }, "SIGQUIT"},
		{"the usual stop signal", app.App{}, Image{Cmd: []string{"a"}}, func(s Spec) any { return s.StopSignal }, "SIGTERM"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := spec(c.app, c.img, p)
			if got := c.want(s); err != nil || !reflect.DeepEqual(got, c.is) {
				t.Errorf("got %v, %v, want %v", got, err, c.is)
			}
		})
	}
	if _, err := spec(app.App{}, Image{}, p); !errors.Is(err, ErrCommand) {
		t.Errorf("no command at all: got %v, want ErrCommand", err)
	}
}

func TestEnvironment(t *testing.T) {
	a := app.App{Name: "web", MemoryMB: 64, Revision: 3, Env: map[string]string{"A": "user", "EMPTY": "", "CF_INSTANCE_INDEX": "9"},
		Routes: []app.Route{{Host: "www"}, {Host: "x.y", Path: "/z"}}}
	p := place{guid: "g", host: "10.1.1.1", domain: "d.test", index: 2,
		lease: Lease{IP: netip.MustParseAddr("172.30.0.5"), Ports: []app.PortPair{{Container: 80, Host: 61000}}}}
	env, err := environment(a, Image{Env: []string{"PORT=1", "A=image", "B=image"}}, p)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"PORT=80", "A=user", "B=image", "EMPTY=", "MEMORY_LIMIT=64M", "PROCESS_GUID=web", defaultPath,
		"INSTANCE_INDEX=2", "INSTANCE_GUID=g", "CF_INSTANCE_INDEX=2", "CF_INSTANCE_IP=10.1.1.1", "CF_INSTANCE_INTERNAL_IP=172.30.0.5",
		"CF_INSTANCE_ADDR=10.1.1.1:61000", "CF_INSTANCE_PORT=61000", `CF_INSTANCE_PORTS=[{"external":61000,"internal":80}]`, "VCAP_SERVICES={}"} {
		if !slices.Contains(env, want) {
			t.Errorf("%s is missing from %q", want, env)
		}
	}
	seen := map[string]bool{}
	for _, kv := range env {
		name, value, _ := strings.Cut(kv, "=")
		if seen[name] {
			t.Errorf("%s is there twice", name)
		}
		seen[name] = true
		if name == "VCAP_APPLICATION" {
			var v struct {
				URIs   []string `json:"application_uris"`
				Limits map[string]int
			}
			if err := json.Unmarshal([]byte(value), &v); err != nil || !slices.Equal(v.URIs, []string{"www.d.test", "x.y/z"}) || v.Limits["mem"] != 64 {
				t.Errorf("VCAP_APPLICATION = %s, %v", value, err)
			}
		}
	}
}

func TestPorts(t *testing.T) {
	for _, c := range []struct{ app, img, want []int }{
		{nil, nil, []int{8080}}, {nil, []int{80, 443}, []int{80, 443}}, {[]int{9, 1}, []int{80}, []int{9, 1}},
	} {
		if got := ports(app.App{Ports: c.app}, Image{Ports: c.img}); !slices.Equal(got, c.want) {
			t.Errorf("ports(%v, %v) = %v, want %v", c.app, c.img, got, c.want)
		}
	}
}

func TestRecordsSurviveWhatIsDamaged(t *testing.T) {
	r := records{filepath.Join(t.TempDir(), "instances")}
	if recs, err := r.load(); err != nil || len(recs) != 0 {
		t.Fatalf("a new folder: %v, %v", recs, err)
	}
	want := record{Store: "s", Assignment: app.Assignment{ID: "p1"}, GUID: "g", tally: tally{Crashes: 2, Failed: 1},
		Lease: Lease{GUID: "g", IP: netip.MustParseAddr("172.30.0.5"), Ports: []app.PortPair{{Container: 80, Host: 61000}}}}
	if err := r.save(want); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"p2.json": "{", "p3.json.new": "half"} {
		if err := os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	recs, err := r.load()
	if len(recs) != 1 || !reflect.DeepEqual(recs[0], want) || err == nil || !strings.Contains(err.Error(), "p2.json") {
		t.Errorf("got %+v, %v; want the sound record and an error about p2.json only", recs, err)
	}
	if err := errors.Join(r.remove("p1"), r.remove("p1")); err != nil {
		t.Errorf("removing twice: %v", err)
	}
}
