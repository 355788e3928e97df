package manifest_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"lattice/app"
	"lattice/internal/manifest"
)

func TestParse(t *testing.T) {
	const text = `# two documents, one of them with a list
name: web
image: nginx:1.29
instances: 3
memory_mb: 256
env:
  VERSION: 1.10
  FLAG: yes
  HEX: 0x10
  QUOTED: "a: b"
  LINES: |
    one
    two
  EMPTY: ""
  LATER:
  NULL: null
ports: [80, 9090]
check: {type: http, path: /health}
routes:
- host: www.example.com
  path: /shop
start_timeout: 1m30s
---
---
apps:
- &base
  name: one
  image: lattice/hello
  memory_mb: 0
- <<: *base
  name: two
  env: {A: "1"}
`
	specs, err := manifest.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if len(specs) != 3 {
		t.Fatalf("got %d apps, want 3", len(specs))
	}
	web := specs[0]
	wantEnv := map[string]string{"VERSION": "1.10", "FLAG": "yes", "HEX": "0x10", "QUOTED": "a: b", "LINES": "one\ntwo\n", "EMPTY": ""}
	if !reflect.DeepEqual(web.App.Env, wantEnv) || !reflect.DeepEqual(web.Unset, []string{"LATER", "NULL"}) {
		t.Errorf("got env %q and %q", web.App.Env, web.Unset)
	}
	want := app.App{
		Name: "web", Image: "nginx:1.29", Instances: 3, MemoryMB: 256, Env: wantEnv, Ports: []int{80, 9090},
		Check: app.Check{Type: app.CheckHTTP, Path: "/health"}, Routes: []app.Route{{Host: "www.example.com", Path: "/shop"}},
		StartTimeout: app.Duration(90 * time.Second),
	}.WithDefaults()
	if !reflect.DeepEqual(web.App, want) || !web.Scaled {
		t.Errorf("got  %+v\nwant %+v", web.App, want)
	}
	one, two := specs[1], specs[2]
	if one.App.Instances != 1 || one.Scaled || one.App.MemoryMB != 0 {
		t.Errorf("got %+v, want one instance that is not the file's matter, and no limit", one)
	}
	if two.App.Image != "lattice/hello" || two.App.Env["A"] != "1" || two.App.MemoryMB != 0 {
		t.Errorf("got %+v, want what is merged in", two.App)
	}
}

func TestParseJSON(t *testing.T) {
	specs, err := manifest.Parse([]byte(`{"name": "web", "image": "x", "env": {"A": "b"}, "instances": 0}`))
	if err != nil || specs[0].App.Env["A"] != "b" || specs[0].App.Instances != 0 || !specs[0].Scaled {
		t.Errorf("got %+v, %v", specs, err)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", "no app in it"},
		{"---\n---\n", "no app in it"},
		{"image: x\n", "has no name"},
		{"name: web\nimagee: x\n", `line 2: there is no field "imagee" here: it can have name, image,`},
		{"name: web\ncheck: {tipe: http}\n", `line 2: there is no field "tipe" here: it can have type,`},
		{"name: web\nmemory_mb: lots\n", "line 2: memory_mb must be a whole number"},
		{"name: web\nno_routes: 7\n", "line 2: no_routes must be true or false"},
		{"name: web\nenv: [s3cr3t]\n", "line 2: "},
		{"name: web\nenv: {A: [s3cr3t]}\n", ""},
		{"name: web\nenv: {A: s3cr3t, A: b}\n", "line 2: "},
		{"name: web\nenv:\n  A: s3cr3t\n B: x\n", "line "},
		{"name: [web\n", "line 1: "},
		{"name: web\nrevision: 3\n", `line 1: revision of app "web" is the brain's to set`},
		{"name: web\nset: shop\n", "set of app \"web\" is the brain's"},
		{"name: web\n---\nname: web\n", "is there twice"},
		{"name: web\nstop_grace: soon\n", `"soon" is no length of time`},
		{"name: web\nports: [\"80\"]\n", "ports must be a whole number"},
		{"name: web\ncommand: run it\n", "command must be a list"},
		{"apps: 7\n", ""},
		{"apps: [7]\n", ""},
		{"- name: web\n", ""},
		{"hello\n", ""},
	} {
		specs, err := manifest.Parse([]byte(c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%q: got %+v, %v, want an error with %q", c.text, specs, err, c.want)
		} else {
			t.Logf("%q: %v", c.text, err)
		}
	}
}

// A laughing billion must be neither read nor waited for.
func TestParseIsBounded(t *testing.T) {
	text := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c <= 'l'; c++ {
		p := string(c - 1)
		text += string(c) + ": &" + string(c) + " [" + strings.Repeat("*"+p+",", 8) + "*" + p + "]\n"
	}
	if _, err := manifest.Parse([]byte("name: web\ncommand: *l\n" + text)); err == nil {
		t.Error("got no error")
	}
	if _, err := manifest.Parse([]byte(text + "name: web\nenv: *l\n")); err == nil {
		t.Error("got no error")
	}
}

func TestWriteIsReadAgain(t *testing.T) {
	a := app.App{
		Name: "web", Image: "nginx", Instances: 2, MemoryMB: 64, DiskMB: 10, Command: []string{"sh", "-c", "echo 'x: y' # no\n", ""}, Args: []string{"yes", "1.10"},
		Env:   map[string]string{"A": "1.10", "B": "line\nline\n", "C": "", "D": "null", "E": "  x", "F": "a\tb", "G": "*x", "H": "{{y}}", "I": "\x1b[1m"},
		Ports: []int{80}, Readiness: &app.Check{Type: app.CheckHTTP, Path: "/r"}, NoRoutes: true, Revision: 7, Stopped: true, Set: "shop",
	}.WithDefaults()
	text, err := manifest.Write([]app.App{a, {Name: "b", Image: "x"}}, true)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("\n%s", text)
	specs, err := manifest.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	a.Revision, a.Stopped, a.Set = 0, false, ""
	if !reflect.DeepEqual(specs[0].App, a) {
		t.Errorf("got  %+v\nwant %+v", specs[0].App, a)
	}
	if text, err = manifest.Write([]app.App{a}, false); err != nil || strings.Contains(string(text), "1m") {
		t.Errorf("got %s, %v, want no value", text, err)
	}
	if specs, err = manifest.Parse(text); err != nil || len(specs[0].Unset) != len(a.Env) || len(specs[0].App.Env) != 0 {
		t.Errorf("got %+v, %v, want all variables without a value", specs, err)
	}
}

// FuzzParse checks that what is read is written so that the same is read again.
func FuzzParse(f *testing.F) {
	f.Add([]byte("name: web\nimage: x\nenv: {A: 1.10, B: }\n"))
	f.Add([]byte("apps:\n- &a {name: a}\n- {<<: *a, name: b, check: {type: http}}\n"))
	f.Add([]byte(`{"name":"x","routes":[{"host":"a","port":1}],"start_timeout":"3s"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		specs, err := manifest.Parse(data)
		if err != nil {
			return
		}
		var apps []app.App
		for _, s := range specs {
			apps = append(apps, s.App)
		}
		text, err := manifest.Write(apps, true)
		if err != nil {
			t.Fatal(err)
		}
		again, err := manifest.Parse(text)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		for i, s := range again {
			if want := specs[i].App; !reflect.DeepEqual(norm(s.App), norm(want)) {
				t.Fatalf("got  %+v\nwant %+v\n%s", s.App, want, text)
			}
		}
	})
}

// norm makes no difference between nil and empty.
func norm(a app.App) app.App {
	if len(a.Env) == 0 {
		a.Env = nil
	}
	if len(a.Command) == 0 {
		a.Command = nil
	}
	if len(a.Args) == 0 {
		a.Args = nil
	}
	if len(a.Ports) == 0 {
		a.Ports = nil
	}
	if len(a.Routes) == 0 {
		a.Routes = nil
	}
	return a
}
