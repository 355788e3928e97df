package containerd_test

import (
	"encoding/json"
	"errors"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"lattice/cells"
	"lattice/cells/containerd"
)

func TestExitCode(t *testing.T) {
	r := open(t, config(t))
	start(t, r, "exit-3", nil, "exit", "3")
	if e := wait(t, r, "exit-3"); e.Code != 3 || e.OOMKilled || time.Since(e.At) > time.Minute {
		t.Errorf("got %+v, want code 3", e)
	}
	start(t, r, "exit-0", nil, "exit", "0")
	if e := wait(t, r, "exit-0"); e.Code != 0 {
		t.Errorf("got %+v, want code 0", e)
	}
}

func TestOutOfMemory(t *testing.T) {
	r := open(t, config(t))
	start(t, r, "hog", func(s *cells.Spec) { s.MemoryMB = 32 }, "hog")
	if e := wait(t, r, "hog"); e.Code != 137 || !e.OOMKilled {
		t.Errorf("got %+v, want code 137 by the OOM killer", e)
	}
}

// A description is what testdata/app's describe prints.
type description struct {
	UID, GID int
	Groups   []int
	Dir      string
	Env      []string
	Hostname string
	Status   string
	Limits   string
	UIDMap   string `json:"uid_map"`
	Hosts    string
	Owners   map[string]string
	Stdout   string
}

// describe starts a container that describes itself.
func describe(t *testing.T, cfg containerd.Config, r *containerd.Runtime, guid string, change func(*cells.Spec), files ...string) description {
	t.Helper()
	start(t, r, guid, change, append([]string{"describe"}, files...)...)
	var d description
	if err := json.Unmarshal([]byte(output(t, cfg, guid, "}\n")), &d); err != nil {
		t.Fatal(err)
	}
	if d.Stdout != "" {
		t.Errorf("/dev/stdout can't be opened: %s", d.Stdout)
	}
	return d
}

// output returns the container's stdout once it ends with end.
func output(t *testing.T, cfg containerd.Config, guid, end string) string {
	t.Helper()
	file := filepath.Join(cfg.LogRoot, guid, "stdout")
	var b []byte
	eventually(t, func() bool {
		var err error
		b, err = os.ReadFile(file)
		return err == nil && strings.HasSuffix(string(b), end)
	})
	return string(b)
}

// eventually fails the test unless ok becomes true within some seconds.
func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatal("it did not happen in time")
		}
	}
}

func TestUser(t *testing.T) {
	cfg := config(t)
	r := open(t, cfg)
	tests := []struct {
		user     string
		uid, gid int
		groups   []int
	}{
		{"", 0, 0, nil},
		{"alice", 1000, 1000, []int{10, 44}},
		{"1000", 1000, 1000, []int{10, 44}},
		{"alice:staff", 1000, 50, nil},
		{"1234:44", 1234, 44, nil},
		{"4321", 4321, 0, nil},
	}
	for i, tt := range tests {
		t.Run(tt.user, func(t *testing.T) {
			d := describe(t, cfg, r, "user-"+string(rune('a'+i)), func(s *cells.Spec) { s.User = tt.user })
			slices.Sort(d.Groups)
			groups := slices.DeleteFunc(d.Groups, func(g int) bool { return g == d.GID && !slices.Contains(tt.groups, g) })
			if d.UID != tt.uid || d.GID != tt.gid || !slices.Equal(groups, tt.groups) {
				t.Errorf("got %d:%d %v, want %d:%d %v", d.UID, d.GID, groups, tt.uid, tt.gid, tt.groups)
			}
		})
	}
}

func TestInside(t *testing.T) {
	cfg := config(t)
	r := open(t, cfg)
	d := describe(t, cfg, r, "inside", func(s *cells.Spec) {
		s.App, s.Index, s.Dir = "shop", 4, "/made/here"
		s.Env = []string{"PORT=8080", "X=a b"}
		s.Lease.IP = netip.MustParseAddr("10.1.2.3")
	}, "/tmp", "/etc/hosts")
	if d.Dir != "/made/here" {
		t.Errorf("works in %s, want /made/here", d.Dir)
	}
	if d.Hostname != "shop-4" {
		t.Errorf("hostname is %s, want shop-4", d.Hostname)
	}
	if !strings.Contains(d.Hosts, "10.1.2.3 shop-4\n") {
		t.Errorf("/etc/hosts is %q, want a line for the container", d.Hosts)
	}
	for _, want := range []string{"PORT=8080", "X=a b"} {
		if !slices.Contains(d.Env, want) {
			t.Errorf("environment %q lacks %s", d.Env, want)
		}
	}
	for _, want := range []string{"NoNewPrivs:\t1", "Seccomp:\t2", "CapEff:\t00000000800405fb", "CapBnd:\t00000000800405fb"} {
		if !strings.Contains(d.Status, want) {
			t.Errorf("status lacks %q: %s", want, d.Status)
		}
	}
	if f := strings.Fields(d.UIDMap); len(f) != 3 || f[0] != "0" || f[1] == "0" || f[2] != "65536" {
		t.Errorf("uid_map is %q, want a range of its own", d.UIDMap)
	}
	if !strings.Contains(strings.Join(strings.Fields(d.Limits), " "), "Max open files 16384 16384") {
		t.Errorf("limits are %s, want 16384 open files", d.Limits)
	}
	if d.Owners["/tmp"] != "0:0 dtrwxrwxrwx" || d.Owners["/etc/hosts"] != "0:0 -rw-r--r--" {
		t.Errorf("owners are %v", d.Owners)
	}
}

func TestAppsHaveTheirOwnUserIDs(t *testing.T) {
	cfg := config(t)
	r := open(t, cfg)
	app := func(name string) func(*cells.Spec) { return func(s *cells.Spec) { s.App = name } }
	a0 := describe(t, cfg, r, "a-0", app("a")).UIDMap
	a1 := describe(t, cfg, r, "a-1", app("a")).UIDMap
	b0 := describe(t, cfg, r, "b-0", app("b")).UIDMap
	if a0 != a1 || a0 == b0 {
		t.Errorf("got %q and %q for one app and %q for another", a0, a1, b0)
	}
}

func TestVolumes(t *testing.T) {
	cfg := config(t)
	r := open(t, cfg)
	d := describe(t, cfg, r, "volumes", func(s *cells.Spec) {
		s.User, s.Volumes = "alice", []string{"/data", "/cache/deep"}
	}, "/data", "/cache/deep")
	want := map[string]string{
		"/data":       "1000:1000 drwxr-x---",
		"/data/file":  "1000:10 -rw-r-----",
		"/data/tool":  "0:0 urwxr-xr-x",
		"/cache/deep": "0:0 drwxr-xr-x",
	}
	if !maps.Equal(d.Owners, want) {
		t.Errorf("got %v, want %v", d.Owners, want)
	}
	if _, _, err := r.Exec(t.Context(), "volumes", []string{"/bin/app", "write", "/data/new", "x"}); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(cfg.Root, "containers/volumes/volume-0/new")
	if b, err := os.ReadFile(file); err != nil || string(b) != "x" {
		t.Errorf("volume has %q, %v, want what was written", b, err)
	}
}

func TestOpensLowPort(t *testing.T) {
	r := open(t, config(t))
	start(t, r, "low-port", func(s *cells.Spec) { s.User = "alice" }, "listen")
	eventually(t, func() bool {
		code, out, err := r.Exec(t.Context(), "low-port", []string{"/bin/app", "cat", "/proc/net/tcp6"})
		return err == nil && code == 0 && strings.Contains(out, ":0050 ") // listens on 80
	})
}

func TestBadCommand(t *testing.T) {
	cfg := config(t)
	r := open(t, cfg)
	tests := []struct {
		name   string
		change func(*cells.Spec)
		want   string
	}{
		{"not-in-path", func(s *cells.Spec) { s.Args = []string{"nonsense"} }, `"nonsense" is not in the image's PATH`},
		{"no-such-file", func(s *cells.Spec) { s.Args = []string{"/bin/nonsense"} }, `"/bin/nonsense" is not in the image`},
		{"no-x-bit", func(s *cells.Spec) { s.Args = []string{"/bin/plain"} }, `"/bin/plain" is not executable`},
		{"folder", func(s *cells.Spec) { s.Args = []string{"/bin"} }, `"/bin" is`},
		{"unknown-user", func(s *cells.Spec) { s.User = "bob" }, `user "bob" is not in the image`},
		{"big-user", func(s *cells.Spec) { s.User = "big" }, `ID 70000`},
		{"file-as-dir", func(s *cells.Spec) { s.Dir = "/etc/passwd" }, `working directory "/etc/passwd"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := tryStart(t, r, tt.name, tt.change, "run")
			if !errors.Is(err, cells.ErrCommand) || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "runc") {
				t.Errorf("got %v, want a plain sentence with %s", err, tt.want)
			}
			if all, err := r.List(t.Context()); err != nil || len(all) != 0 {
				t.Errorf("left behind: %v, %v", all, err)
			}
			if left, err := os.ReadDir(filepath.Join(cfg.Root, "containers")); err != nil || len(left) != 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

func TestBadImage(t *testing.T) {
	r := open(t, config(t))
	err := tryStart(t, r, "no-image", func(s *cells.Spec) { s.Image = "docker.io/library/never-pulled:latest" }, "run")
	if !errors.Is(err, cells.ErrImage) {
		t.Errorf("got %v, want ErrImage", err)
	}
}

func TestGUIDTwice(t *testing.T) {
	r := open(t, config(t))
	start(t, r, "twice", nil, "run")
	if err := tryStart(t, r, "twice", nil, "run"); err == nil {
		t.Error("a second container of the same GUID was started")
	}
	all, err := r.List(t.Context())
	if err != nil || len(all) != 1 || !all[0].Running {
		t.Errorf("the first one must go on, got %+v, %v", all, err)
	}
}
