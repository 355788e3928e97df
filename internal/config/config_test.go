package config_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"lattice/app"
	"lattice/internal/config"
)

func TestPrecedence(t *testing.T) {
	for _, c := range []struct {
		name       string
		flag, env  string // of zone
		file       string
		want, from string // FILE stands for the file's path
	}{
		{"default", "", "", "", "z1", "default"},
		{"file over default", "", "", "zone: file", "file", "file FILE"},
		{"environment over file", "", "env", "zone: file", "env", "environment LATTICE_ZONE"},
		{"flag over environment", "flag", "env", "zone: file", "flag", "flag --zone"},
		{"flag over file", "flag", "", "zone: file", "flag", "flag --zone"},
		{"environment over default", "", "env", "", "env", "environment LATTICE_ZONE"},
		{"flag over default", "flag", "", "", "flag", "flag --zone"},
		{"the default as a flag is a flag", "z1", "env", "", "z1", "flag --zone"},
		{"a number as a name", "", "", "zone: 7", "7", "file FILE"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("LATTICE_ZONE", c.env)
			file := write(t, "lattice.yaml", c.file)
			var args []string
			if c.flag != "" {
				args = append(args, "--zone", c.flag)
			}
			got, err := cell(t, file, args...)
			if err != nil {
				t.Fatal(err)
			}
			from := strings.ReplaceAll(c.from, "FILE", file)
			if s := setting(t, got.Settings, "zone"); got.Zone != c.want || s.Value != c.want || s.Origin != from {
				t.Errorf("got %q, said to be %q from %q; want %q from %q", got.Zone, s.Value, s.Origin, c.want, from)
			}
		})
	}
}

// Numbers and lists are text in the environment and typed in a file.
func TestPrecedenceOfOtherTypes(t *testing.T) {
	const file = "memory-mb: 1000\nlabel: [rack=r1, Disk=ssd]\n"
	for _, c := range []struct {
		name   string
		env    map[string]string
		args   []string
		memory int
		labels map[string]string
	}{
		{"file", nil, nil, 1000, map[string]string{"rack": "r1", "Disk": "ssd"}},
		{"environment", map[string]string{"LATTICE_MEMORY_MB": "2000", "LATTICE_LABEL": "rack=r2, gpu="}, nil,
			2000, map[string]string{"rack": "r2", "gpu": ""}},
		{"flag", map[string]string{"LATTICE_MEMORY_MB": "2000", "LATTICE_LABEL": "rack=r2"},
			[]string{"--memory-mb=3000", "--label", "rack=r3", "--label", "a=b,c=d"},
			3000, map[string]string{"rack": "r3", "a": "b", "c": "d"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for k, v := range c.env {
				t.Setenv(k, v)
			}
			got, err := cell(t, write(t, "lattice.yaml", file), c.args...)
			if err != nil {
				t.Fatal(err)
			}
			if got.MemoryMB != c.memory || !maps.Equal(got.Labels, c.labels) {
				t.Errorf("got %d MiB, %v; want %d MiB, %v", got.MemoryMB, got.Labels, c.memory, c.labels)
			}
		})
	}
}

func TestDefaults(t *testing.T) {
	up, err := config.Up(parsed(t, config.AddUpFlags), "")
	if err != nil {
		t.Fatal(err)
	}
	b, c := up.Brain, up.Cell
	for what, ok := range map[string]bool{
		"data dir":       b.DataDir == "/var/lib/lattice",
		"state dir":      b.StateDir == c.StateDir && strings.HasPrefix(b.StateDir, "/run/lattice/") && len(b.StateDir) == len("/run/lattice/")+8,
		"api":            b.API == ":7443",
		"gossip":         b.Gossip == ":7946",
		"router":         b.Router.HTTP == "",
		"domain":         b.Domain == "lattice.localhost",
		"log":            b.LogLevel == slog.LevelInfo && b.LogFormat == "text",
		"zone":           c.Zone == "z1",
		"max containers": c.MaxContainers == 250,
		"memory":         c.MemoryMB > 100,
		"disk":           c.DiskMB > 100,
		"cell id":        c.ID != "",
	} {
		if !ok {
			t.Errorf("%s: unexpected in %+v", what, up)
		}
	}
	if ip, err := netip.ParseAddr(b.Advertise); err != nil || ip.IsUnspecified() {
		t.Errorf("advertise: got %q, want an ip", b.Advertise)
	}
	for key, want := range map[string]string{"cell-id": "detected", "memory-mb": "detected", "api": "default", "http": "default"} {
		if got := setting(t, b.Settings, key).Origin; got != want {
			t.Errorf("origin of %s: got %q, want %q", key, got, want)
		}
	}
}

func TestStateDirFollowsDataDir(t *testing.T) {
	a, errA := config.Up(parsed(t, config.AddUpFlags, "--data-dir", "/a"), "")
	b, errB := config.Up(parsed(t, config.AddUpFlags, "--data-dir", "/b"), "")
	if err := errors.Join(errA, errB); err != nil {
		t.Fatal(err)
	}
	if a.Brain.StateDir == b.Brain.StateDir {
		t.Errorf("both have %s, want one for each data folder", a.Brain.StateDir)
	}
}

func TestAdvertisedIsWhereGossipIsBound(t *testing.T) {
	for gossip, want := range map[string]string{"10.1.2.3:7946": "10.1.2.3", "[fd00::1]:7946": "fd00::1"} {
		b, err := config.Brain(parsed(t, config.AddBrainFlags, "--gossip", gossip), "")
		if err != nil || b.Advertise != want {
			t.Errorf("gossip on %s: got %q, %v; want %s", gossip, b.Advertise, err, want)
		}
	}
}

func TestJoin(t *testing.T) {
	token := write(t, "token", " lat1.x.y\n")
	for _, c := range []struct {
		name, join, want string
	}{
		{"name", "brain.lan", "brain.lan:7443"},
		{"name and port", "brain:1", "brain:1"},
		{"ip", "10.0.0.1", "10.0.0.1:7443"},
		{"ip v6", "fd00::1", "[fd00::1]:7443"},
		{"ip v6 and port", "[fd00::1]:9", "[fd00::1]:9"},
	} {
		got, err := config.Cell(parsed(t, config.AddCellFlags, "--join", c.join, "--token-file", token), "")
		if err != nil || got.Join != c.want || string(got.Token) != "lat1.x.y" {
			t.Errorf("%s: got %q, %q, %v; want %q", c.name, got.Join, string(got.Token), err, c.want)
		}
	}
}

func TestBadValues(t *testing.T) {
	empty := write(t, "empty", "\n")
	for _, c := range []struct {
		name string
		args string
		want string
	}{
		{"no brain", "--token t", "join (default): a cell needs the address of a brain"},
		{"no token", "--join b", "token (default): a cell needs the cluster's join token"},
		{"two tokens", "--join b --token t --token-file f", "token (flag --token): both token and token-file"},
		{"no such token file", "--join b --token-file /nowhere", "no such file"},
		{"empty token file", "--join b --token-file " + empty, "the file is empty"},
		{"join a url", "--join https://b --token t", `"https://b" is not an address`},
		{"gossip without port", "--join b --token t --gossip 1.2.3.4", "write it as :port or ip:port"},
		{"gossip on a name", "--join b --token t --gossip here:1", `"here" is not an ip address`},
		{"port out of range", "--join b --token t --gossip :70000", `":70000" is not an address to listen on`},
		{"advertise all", "--join b --token t --advertise 0.0.0.0", "is not the ip of an interface"},
		{"cell id", "--join b --token t --cell-id Big_Box", `"Big_Box" is not a name of lower-case letters`},
		{"label without value", "--join b --token t --label ssd", "write it as key=value"},
		{"label twice", "--join b --token t --label a=1,a=2", `"a" is given twice`},
		{"label with blanks", "--join b --token t --label a=b%c", "may have letters, digits"},
		{"negative memory", "--join b --token t --memory-mb -1", `memory-mb (flag --memory-mb): "-1" is not a number from 0 to`},
		{"too long to evacuate", "--join b --token t --evacuate-timeout 2h", `"2h" is not a time from 1s to 1h0m0s`},
		{"no containers", "--join b --token t --max-containers 0", "give at least 1"},
		{"level", "--join b --token t --log-level loud", `"loud" is not debug, info, warn or error`},
		{"format", "--join b --token t --log-format xml", `"xml" is not text or json`},
		{"no data folder", "--join b --token t --data-dir=", "a folder is needed"},
	} {
		_, err := config.Cell(parsed(t, config.AddCellFlags, strings.Fields(c.args)...), "")
		if !errors.Is(err, app.ErrInvalid) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got error %v, want %q in it", c.name, err, c.want)
		} else if n := strings.Count(err.Error(), "\n"); n != 0 {
			t.Errorf("%s: got %d errors more than wanted: %v", c.name, n, err)
		}
	}
}

func TestACellIsARouterIfAsked(t *testing.T) {
	if c, err := cell(t, ""); err != nil || c.Router != nil {
		t.Errorf("without --router: %+v, %v", c.Router, err)
	}
	c, err := cell(t, "", "--router", "--http", ":81", "--metrics", ":9100", "--access-log=false")
	if err != nil || c.Router == nil || c.Router.HTTP != ":81" || c.Router.Metrics != ":9100" || c.Router.AccessLog {
		t.Errorf("with it: %+v, %v", c.Router, err)
	}
	if c, err := cell(t, write(t, "lattice.yaml", "http: :81\n")); err != nil || c.Router != nil {
		t.Errorf("a file that is for the brain, too: %v", err)
	}
	for args, want := range map[string]string{
		"--http :81":                      "a cell is a router with --router only",
		"--router --http :7946":           "port 7946 is wanted for http too",
		"--router --http x":               "write it as :port or ip:port",
		"--router --http :81 --https :81": "port 81 is wanted for http too",
	} {
		if _, err := cell(t, "", strings.Fields(args)...); !errors.Is(err, app.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", args, err, want)
		}
	}
}

func TestBadBrainValues(t *testing.T) {
	for args, want := range map[string]string{
		"--domain UPPER..x":                   `"upper..x" is not a domain`,
		"--http 80":                           "write it as :port or ip:port",
		"--api :7946":                         "port 7946 is wanted for gossip too",
		"--http :7443":                        "port 7443 is wanted for http too",
		"--https :7443":                       "port 7443 is wanted for api too",
		"--ssh :7443":                         "port 7443 is wanted for api too",
		"--ssh on":                            "write it as :port or ip:port",
		"--https none":                        "write it as :port or ip:port",
		"--tls-cert a.crt":                    "give each --tls-cert its --tls-key",
		"--acme-email a@b.c":                  "give --acme-url",
		"--trusted-proxies 10.0.0.0/99":       "neither an address nor a network",
		"--api 10.0.0.1:80 --http 0.0.0.0:80": "port 80 is wanted for http too",
	} {
		_, err := config.Brain(parsed(t, config.AddBrainFlags, strings.Fields(args)...), "")
		if !errors.Is(err, app.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got error %v, want %q in it", args, err, want)
		}
	}
	if _, err := config.Brain(parsed(t, config.AddBrainFlags, "--api", "10.0.0.1:80", "--http", "10.0.0.2:80"), ""); err != nil {
		t.Errorf("one port on two addresses: %v", err)
	}
	if b, err := config.Brain(parsed(t, config.AddBrainFlags, "--ssh", "off"), ""); err != nil || b.SSH != config.SSHOff {
		t.Errorf("no SSH port: %q %v", b.SSH, err)
	}
}

func TestBadEnvironment(t *testing.T) {
	t.Setenv("LATTICE_DISK_MB", "lots")
	_, err := cell(t, "")
	if want := `disk-mb (environment LATTICE_DISK_MB): "lots" is not a number`; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got error %v, want %q in it", err, want)
	}
}

func TestBadFiles(t *testing.T) {
	for _, c := range []struct{ name, file, content, want string }{
		{"misspelt key", "l.yaml", "zoone: x", `there is no "zoone"; there are data-dir,`},
		{"no yaml", "l.yaml", "a: [", "read configuration"},
		{"unknown kind", "l.conf", "zone=x", "must end in .yaml, .toml or .json"},
		{"a table", "l.toml", "[label]\na = 'b'", "a list is wanted"},
		{"a list", "l.json", `{"zone": ["a", "b"]}`, "one value is wanted"},
	} {
		if _, err := cell(t, write(t, c.file, c.content)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got error %v, want %q in it", c.name, err, c.want)
		}
	}
	if _, err := cell(t, "/nowhere/lattice.yaml"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: got %v, want os.ErrNotExist", err)
	}
	if _, err := cell(t, write(t, "shared.yaml", "api: ':1'\nzone: z2")); err != nil {
		t.Errorf("a brain's key in a cell's file: %v", err)
	}
}

func TestSecretsAreNotPrinted(t *testing.T) {
	const token = "lat1.hash.sesame"
	c, err := config.Cell(parsed(t, config.AddCellFlags, "--join", "b", "--token", token), "")
	if err != nil || string(c.Token) != token {
		t.Fatalf("got %q, %v", string(c.Token), err)
	}
	var out strings.Builder
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "config", c, "token", c.Token)
	b, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(&out, "%v %+v %#v %s %s", c, c, c, c.Token, b)
	if strings.Contains(out.String(), "sesame") {
		t.Errorf("the token was printed: %s", &out)
	}
	if s := setting(t, c.Settings, "token"); s.Value != "****" || s.Origin != "flag --token" {
		t.Errorf("got %+v, want it masked", s)
	}
}

func TestCleanID(t *testing.T) {
	for name, want := range map[string]string{
		"box": "box", "Box-1.example.com": "box-1", "_my_box_": "my-box", "": "cell", "...": "cell", "büro": "b-ro",
		strings.Repeat("a", 62) + "_b": strings.Repeat("a", 62),
	} {
		if got := config.CleanID(name); got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
}

// cell reads a cell's configuration that is complete but for args and file.
func cell(t *testing.T, file string, args ...string) (config.CellConfig, error) {
	t.Helper()
	return config.Cell(parsed(t, config.AddCellFlags, append(args, "--join=brain", "--token=t")...), file)
}

func parsed(t *testing.T, add func(*pflag.FlagSet), args ...string) *pflag.FlagSet {
	t.Helper()
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	add(fs)
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	return fs
}

func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func setting(t *testing.T, all []config.Setting, key string) config.Setting {
	t.Helper()
	for _, s := range all {
		if s.Key == key {
			return s
		}
	}
	t.Fatalf("no setting %q in %v", key, all)
	return config.Setting{}
}

func TestEvacuation(t *testing.T) {
	for _, c := range []struct {
		args, env string
		on        bool
		limit     time.Duration
	}{
		{"", "", false, 5 * time.Minute},
		{"--evacuate-on-stop --evacuate-timeout 30s", "", true, 30 * time.Second},
		{"", "true", true, 5 * time.Minute},
		{"--evacuate-on-stop=false", "true", false, 5 * time.Minute},
	} {
		t.Setenv("LATTICE_EVACUATE_ON_STOP", c.env)
		got, err := config.Cell(parsed(t, config.AddCellFlags, strings.Fields("--join b --token t "+c.args)...), "")
		if err != nil || got.EvacuateOnStop != c.on || got.EvacuateTimeout != c.limit {
			t.Errorf("%q, environment %q: got %v within %v, %v", c.args, c.env, got.EvacuateOnStop, got.EvacuateTimeout, err)
		}
	}
	t.Setenv("LATTICE_EVACUATE_ON_STOP", "perhaps")
	if _, err := config.Cell(parsed(t, config.AddCellFlags, "--join", "b", "--token", "t"), ""); err == nil || !strings.Contains(err.Error(), `"perhaps" is not true or false`) {
		t.Errorf("got %v", err)
	}
}
