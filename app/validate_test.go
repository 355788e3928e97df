package app_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"lattice/app"
)

// valid returns an app that Validate accepts.
func valid() app.App {
	return app.App{Name: "web", Image: "nginx", Instances: 1, MemoryMB: 128}.WithDefaults()
}

// check returns c with its defaults.
func check(c app.Check) *app.Check {
	return app.App{Readiness: &c}.WithDefaults().Readiness
}

func TestValidateAccepts(t *testing.T) {
	for name, change := range map[string]func(*app.App){
		"the defaults":        func(*app.App) {},
		"a stopped app":       func(a *app.App) { a.Instances = 0 },
		"the most instances":  func(a *app.App) { a.Instances = app.MaxInstances },
		"no limits":           func(a *app.App) { a.MemoryMB, a.DiskMB = 0, 0 },
		"the least memory":    func(a *app.App) { a.MemoryMB = app.MinMemoryMB },
		"all of a label":      func(a *app.App) { a.Name = "0a-_9" },
		"the longest name":    func(a *app.App) { a.Name = strings.Repeat("a", 63) },
		"an empty value":      func(a *app.App) { a.Env = map[string]string{"_A1b": ""} },
		"the largest value":   func(a *app.App) { a.Env = map[string]string{"A": strings.Repeat("x", app.MaxEnvVarBytes-3)} },
		"a route without dot": func(a *app.App) { a.Routes = []app.Route{{Host: "web"}} },
		"a wildcard":          func(a *app.App) { a.Routes = []app.Route{{Host: "*.example.com", Path: "/a"}} },
		"one host, two paths": func(a *app.App) { a.Routes = []app.Route{{Host: "web"}, {Host: "web", Path: "/a"}} },
		"ports of the image":  func(a *app.App) { a.Check.Port, a.Routes = 99, []app.Route{{Host: "web", Port: 99}} },
		"ports of the app":    func(a *app.App) { a.Ports, a.Check.Port = []int{1, 65535}, 65535 },
		"an http check":       func(a *app.App) { a.Check.Type, a.Check.Path = app.CheckHTTP, "/health?full=1" },
		"a command check":     func(a *app.App) { a.Check.Type, a.Check.Command = app.CheckCommand, "true" },
		"a startup check": func(a *app.App) {
			a.Startup = check(app.Check{Type: app.CheckHTTP, Interval: app.Duration(time.Second)})
		},
		"a readiness check": func(a *app.App) {
			a.Readiness = check(app.Check{Type: app.CheckHTTP, Statuses: "200,503", Failures: 1})
		},
		"a user and its group": func(a *app.App) { a.User = "1000:www-data" },
	} {
		a := valid()
		change(&a)
		if err := a.Validate(); err != nil {
			t.Errorf("%s: got %q, want no error", name, err)
		}
	}
}

func TestValidateRefuses(t *testing.T) {
	long := strings.Repeat("x", 300)
	for _, tt := range []struct {
		change func(*app.App)
		want   string // a part of the sentence
	}{
		{func(a *app.App) { a.Name = "" }, "needs a name"},
		{func(a *app.App) { a.Name = "My-App" }, `write "my-app"`},
		{func(a *app.App) { a.Name = "-web" }, "letter or digit first and last"},
		{func(a *app.App) { a.Name = "web_" }, "letter or digit first and last"},
		{func(a *app.App) { a.Name = "a.b" }, "can't be part of a host name"},
		{func(a *app.App) { a.Name = "näh" }, "can't be part of a host name"},
		{func(a *app.App) { a.Name = long }, "has 300 characters"},
		{func(a *app.App) { a.Image = "" }, "needs an image"},
		{func(a *app.App) { a.Command = []string{""} }, "empty word"},
		{func(a *app.App) { a.Args = []string{"a", "b\x00"} }, "NUL"},
		{func(a *app.App) { a.Set = "My Shop" }, "the set \"My Shop\" can't be one"},
		{func(a *app.App) { a.Command = []string{"a", "b\x00"} }, "NUL"},
		{func(a *app.App) { a.Command = []string{strings.Repeat("x", app.MaxCommandBytes)} }, "65537 bytes"},
		{func(a *app.App) { a.Dir = "app" }, "absolute path"},
		{func(a *app.App) { a.User = ":root" }, "NAME:GROUP"},
		{func(a *app.App) { a.User = "a:b:c" }, "NAME:GROUP"},
		{func(a *app.App) { a.Instances = -1 }, "-1 instances"},
		{func(a *app.App) { a.Instances = app.MaxInstances + 1 }, "0 to 1000"},
		{func(a *app.App) { a.MemoryMB = 8 }, "memory is 8 MiB: no container starts reliably below 16"},
		{func(a *app.App) { a.MemoryMB = -1 }, "memory is -1 MiB"},
		{func(a *app.App) { a.MemoryMB = 1 << 40 }, "memory is"},
		{func(a *app.App) { a.DiskMB = -1 }, "disk is -1 MiB"},
		{func(a *app.App) { a.CPUWeight = 101 }, "cpu weight is 101"},
		{func(a *app.App) { a.Ports = []int{0} }, "port 0 does not exist"},
		{func(a *app.App) { a.Ports = []int{65536} }, "port 65536 does not exist"},
		{func(a *app.App) { a.Ports = []int{80, 80} }, "port 80 is there twice"},
		{func(a *app.App) { a.Ports = make([]int, 101) }, "101 ports"},
		{func(a *app.App) { a.StartTimeout = -1 }, "start timeout is -1ns"},
		{func(a *app.App) { a.StopGrace = app.Duration(2 * time.Hour) }, "stop grace is 2h0m0s"},
		{func(a *app.App) { a.Check.Timeout = app.Duration(time.Hour) }, "at most 5m0s"},
		{func(a *app.App) { a.Readiness = check(app.Check{Type: "tcp"}) }, "the readiness check can't be made"},
		{func(a *app.App) { a.Readiness = check(app.Check{Port: 81}); a.Ports = []int{80} }, "the readiness check leads to port 81"},
		{func(a *app.App) { a.Readiness = check(app.Check{Type: app.CheckCommand}) }, "the readiness check of type command needs a command"},
		{func(a *app.App) { a.Startup = check(app.Check{Failures: 2}) }, "set that"},
		{func(a *app.App) { a.Startup = check(app.Check{Interval: 1}) }, "the startup check's interval is 1ns: it can be 100ms to 1h0m0s"},
		{func(a *app.App) { a.Check.Failures = -1 }, "fails after -1 misses"},
		{func(a *app.App) { a.Check.Type, a.Check.Path, a.Check.Statuses = app.CheckHTTP, "/", "2xx" }, `the check's statuses: "2xx" is no list`},
		{func(a *app.App) { a.Check.Statuses = "200" }, "only a check of type http uses"},
		{func(a *app.App) { a.Check.Type = "tcp" }, `no check type "tcp": choose port`},
		{func(a *app.App) { a.Check.Path = "/x" }, "only a check of type http uses"},
		{func(a *app.App) { a.Check.Command = "x" }, "only a check of type command uses"},
		{func(a *app.App) { a.Check.Type = app.CheckCommand }, "needs a command"},
		{func(a *app.App) { a.Check.Type, a.Check.Path = app.CheckHTTP, "health" }, "must start with /"},
		{func(a *app.App) { a.Check.Type, a.Check.Path = app.CheckHTTP, "/a b" }, `none of " #"`},
		{func(a *app.App) { a.Check.Type, a.Check.Path = app.CheckHTTP, "/a\r\nHost: b" }, "none of"},
		{func(a *app.App) { a.Check.Type, a.Check.Path = app.CheckHTTP, "/a\r\n" }, "control character"},
		{func(a *app.App) { a.Ports, a.Check.Port = []int{80, 81}, 82 }, "check leads to port 82, which is none of the app's ports 80, 81"},
		{func(a *app.App) { a.Check.Port = 70000 }, "port 70000, which does not exist"},
		{func(a *app.App) { a.Env = map[string]string{"1A": ""} }, "no digit first"},
		{func(a *app.App) { a.Env = map[string]string{"": ""} }, `variable ""`},
		{func(a *app.App) { a.Env = map[string]string{"A-B": ""} }, `variable "A-B"`},
		{func(a *app.App) { a.Env = map[string]string{"A": "\x00"} }, "NUL"},
		{func(a *app.App) { a.Env = map[string]string{"A": strings.Repeat("x", app.MaxEnvVarBytes)} }, "131075 bytes"},
		{func(a *app.App) { a.Routes = []app.Route{{}} }, "needs a host"},
		{func(a *app.App) { a.Routes = []app.Route{{Host: "http://web"}} }, "scheme"},
		{func(a *app.App) { a.Routes = []app.Route{{Host: "web/x"}} }, "path in it"},
		{func(a *app.App) { a.Routes = []app.Route{{Host: "web:80"}} }, "port in it"},
		{func(a *app.App) { a.Routes = []app.Route{{Host: "Web"}} }, `write "web"`},
		{func(a *app.App) { a.Routes = []app.Route{{Host: "a..b"}} }, "no host name"},
		{func(a *app.App) { a.Routes = []app.Route{{Host: long}} }, "no host name"},
		{func(a *app.App) { a.Routes = []app.Route{{Host: "*"}} }, "as in *.example.com"},
		{func(a *app.App) { a.Routes = []app.Route{{Host: "a.*.b"}} }, "as in *.example.com"},
		{func(a *app.App) { a.Routes = []app.Route{{Host: "web", Path: "x"}} }, "must start with /"},
		{func(a *app.App) { a.Routes = []app.Route{{Host: "web", Path: "/?q"}} }, `none of " #?"`},
		{func(a *app.App) { a.Routes = []app.Route{{Host: "web"}, {Host: "web", Path: "/"}} }, `"web/" is there twice`},
		{func(a *app.App) { a.Routes = []app.Route{{Host: "web", Port: 1}, {Host: "web", Port: 2}} }, "one port only"},
		{func(a *app.App) { a.Ports, a.Routes = []int{80}, []app.Route{{Host: "web", Port: 81}} }, `route "web" leads to port 81`},
		{func(a *app.App) { a.Routes = make([]app.Route, 101) }, "101 routes"},
		{func(a *app.App) { a.NoRoutes, a.Routes = true, []app.Route{{Host: "web"}} }, "leave out one of the two"},
	} {
		a := valid()
		tt.change(&a)
		err := a.Validate()
		if !errors.Is(err, app.ErrInvalid) || !strings.Contains(err.Error(), tt.want) || strings.Count(err.Error(), "\n") > 0 {
			t.Errorf("got %q, want one line with %q", err, tt.want)
		}
	}
}

func TestValidateTellsEverythingThatIsWrong(t *testing.T) {
	a := valid()
	a.Name, a.MemoryMB, a.Ports = "Web", 1, []int{0}
	if got := strings.Split(a.Validate().Error(), "\n"); len(got) != 3 {
		t.Errorf("got %q, want three lines", got)
	}
	a.Env = map[string]string{}
	for i := range 1000 {
		a.Env[fmt.Sprint(i)] = ""
	}
	if got := strings.Split(a.Validate().Error(), "\n"); len(got) != 21 || got[20] != "and 983 more things are wrong" {
		t.Errorf("got %d lines, the last %q", len(got), got[len(got)-1])
	}
}

func TestWithDefaults(t *testing.T) {
	in := app.App{Ports: []int{1}, Routes: []app.Route{{Host: "WEB"}}, Check: app.Check{Type: app.CheckHTTP}}
	out := in.WithDefaults()
	want := app.App{
		CPUWeight:    100,
		Ports:        []int{1},
		Routes:       []app.Route{{Host: "web"}},
		Check:        app.Check{Type: app.CheckHTTP, Path: "/", Timeout: app.Duration(time.Second)},
		StartTimeout: app.Duration(time.Minute),
		StopGrace:    app.Duration(10 * time.Second),
	}
	if !reflect.DeepEqual(out, want) {
		t.Errorf("got %+v\nwant %+v", out, want)
	}
	out.Ports[0] = 2
	if in.Ports[0] != 1 || in.Routes[0].Host != "WEB" {
		t.Errorf("the original was changed: %+v", in)
	}
}

// FuzzValidate looks for an app that panics, whose refusal tells a secret, or
// that is accepted once and refused after a way over the wire.
func FuzzValidate(f *testing.F) {
	f.Add([]byte(`{"name":"web","image":"nginx"}`), "PASSWORD", "s3cr3t-0815")
	f.Add([]byte(`{"name":"Web","ports":[80,80],"routes":[{"host":"*.A"},{"host":"a","path":"/?"}]}`), "A=b", "s3cr3t-0815")
	f.Add([]byte(`{"name":"w","check":{"type":"http","path":"x","port":-1,"timeout":"-1s"},"command":[""]}`), "", "s3cr3t-\x000815")
	f.Fuzz(func(t *testing.T, body []byte, name, secret string) {
		var a app.App
		if json.Unmarshal(body, &a) != nil {
			return
		}
		if a.Env == nil {
			a.Env = map[string]string{}
		}
		const mark = "zq9!" // not to be found in any sentence
		a.Env[name] = mark + secret
		a = a.WithDefaults()
		if again := a.WithDefaults(); !reflect.DeepEqual(a, again) {
			t.Fatalf("defaults of defaults differ: %+v and %+v", a, again)
		}
		if err := a.Validate(); err != nil {
			if strings.Contains(err.Error(), mark) && !strings.Contains(string(body)+name, mark) {
				t.Fatalf("the refusal tells a value: %q", err)
			}
			return
		}
		wire, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		var b app.App
		if err := json.Unmarshal(wire, &b); err != nil {
			t.Fatal(err)
		}
		if err := b.Validate(); err != nil {
			t.Fatalf("accepted, then refused after a way over the wire: %v", err)
		}
	})
}
