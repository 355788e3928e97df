package cli

import (
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"lattice/app"
)

// whole is an app that has something of everything.
func whole() app.App {
	return app.App{
		Name: "web", Image: "nginx", Args: []string{"-q"}, Set: "shop", Command: []string{"run"}, Dir: "/d", User: "u", Env: map[string]string{"A": "1", "B": "2"},
		Instances: 3, MemoryMB: 64, DiskMB: 32, CPUWeight: 7, CPUMilli: 250, Rules: app.Rules{Zones: []string{"z2"}}, Ports: []int{80, 81},
		Check:     app.Check{Type: app.CheckHTTP, Path: "/", Port: 81, Interval: app.Duration(time.Minute), Failures: 9, Statuses: "200"},
		Startup:   &app.Check{Type: app.CheckPort, Port: 80},
		Readiness: &app.Check{Type: app.CheckHTTP, Path: "/ready"},
		Routes:    []app.Route{{Host: "a"}, {Host: "b", Path: "/x", Port: 81}}, TCPRoutes: []app.TCPRoute{{External: 5432}},
		StartTimeout: app.Duration(time.Minute), StopGrace: app.Duration(time.Second),
		Volumes: []app.Volume{{Source: "data", Path: "/data"}}, Privileged: true,
	}.WithDefaults()
}

// apply returns what 'update' makes of a with the arguments.
func apply(t *testing.T, a app.App, args ...string) (app.App, error) {
	t.Helper()
	var f updateFlags
	cmd := &cobra.Command{Use: "update", Args: cobra.ArbitraryArgs, RunE: func(*cobra.Command, []string) error { return nil }}
	f.register(cmd)
	cmd.SetArgs(args)
	cmd.SetOut(io.Discard)
	cmd.SetErr(io.Discard)
	if err := cmd.Execute(); err != nil {
		t.Fatal(err)
	}
	if err := f.conflict(cmd); err != nil {
		return app.App{}, err
	}
	var command []string
	if cmd.ArgsLenAtDash() >= 0 {
		command = cmd.Flags().Args()
	}
	return f.apply(cmd.Flags().Changed, app.Status{App: a}, "example.com", command)
}

// Every flag of create changes an app that there is, and nothing else of it.
func TestEveryFlagOfCreateChangesAnApp(t *testing.T) {
	samples := map[string][2]string{ // by flag: a value, and what it changes
		"instances": {"5", "Instances"}, "memory-mb": {"99", "Memory"}, "disk-mb": {"0", "Disk"}, "cpu-weight": {"100", "CPU weight"},
		"env": {"A=x", "Env A"}, "working-dir": {"", "Working dir"}, "user": {"", "User"}, "ports": {"80,81,82", "Ports"},
		"monitor-port": {"80", "Check"}, "monitor-url": {"80:/x", "Check"}, "monitor-command": {"true", "Check"}, "no-monitor": {"true", "Check"},
		"monitor-timeout": {"7s", "Check, Startup check"}, "monitor-interval": {"7s", "Check"}, "monitor-failures": {"7", "Check"}, "monitor-statuses": {"201", "Check, Readiness check"},
		"startup-port": {"81", "Startup check"}, "startup-url": {"/x", "Startup check"}, "startup-command": {"true", "Startup check"}, "startup-interval": {"7s", "Startup check"},
		"readiness-port": {"81", "Readiness check"}, "readiness-url": {"/x", "Readiness check"}, "readiness-command": {"true", "Readiness check"},
		"readiness-timeout": {"7s", "Readiness check"}, "readiness-interval": {"7s", "Readiness check"}, "readiness-failures": {"7", "Readiness check"},
		"start-timeout": {"7s", "Start timeout"}, "stop-grace": {"7s", "Stop grace"}, "http-route": {"c", "Routes"}, "route-option": {"sticky=at", "Routes"}, "tcp-route": {"5433", "TCP routes"}, "no-routes": {"true", "Routes"},
		"env-file": {"", ""}, // as env
		"volume":   {"other:/data", "Volumes"}, "privileged": {"false", "Privileged"},
		"cpus": {"0.5", "CPU kept free"}, "require": {"gpu", "Rules"}, "prefer": {"disk=ssd", "Rules"}, "zone": {"z1", "Rules"}, "avoid": {"db", "Rules"}, "one-per-cell": {"true", "Rules"},
	}
	var f appFlags
	cmd := &cobra.Command{}
	f.register(cmd)
	cmd.Flags().VisitAll(func(fl *pflag.Flag) {
		sample, known := samples[fl.Name]
		if !known && !fl.Hidden {
			t.Errorf("--%s is a flag of create: what does it change with update?", fl.Name)
		}
		if sample[1] == "" {
			return
		}
		before := whole()
		after, err := apply(t, before, "--"+fl.Name+"="+sample[0])
		var changed []string
		for _, d := range differences(before, after) {
			changed = append(changed, d.What)
		}
		if got := strings.Join(changed, ", "); err != nil || got != sample[1] {
			t.Errorf("--%s=%s: changes %q, %v, want %q", fl.Name, sample[0], got, err, sample[1])
		}
		if !reflect.DeepEqual(before, whole()) {
			t.Fatalf("--%s changed the app that was given", fl.Name)
		}
	})
}

func TestUpdateFlags(t *testing.T) {
	standard := app.App{Name: "web", Image: "nginx", Ports: []int{80, 81}}.WithDefaults()
	for _, tt := range []struct {
		of   app.App
		args string
		want string // the differences
		fail string // a part of the error
	}{
		{of: whole(), args: "", want: ""},
		{of: whole(), args: "--image nginx:2 -- go on", want: "Image: nginx → nginx:2; Command: run → go on; Arguments: -q → none of its own"},
		{of: whole(), args: "--image-command", want: "Command: run → the image's; Arguments: -q → none of its own"},
		{of: whole(), args: "-e C=3 --unset-env A", want: "Env A: (hidden) → none; Env C: none → (hidden)"},
		{of: whole(), args: "-e A=1", want: ""},
		{of: whole(), args: "--unset-env X", fail: "has no such variable; it has A, B"},
		{of: standard, args: "--unset-env X", fail: "it has none"},

		{of: whole(), args: "--add-route C.d.e:80", want: "Routes: a, b/x:81 → a, b/x:81, c.d.e:80"},
		{of: whole(), args: "--add-route a.example.com:81", want: "Routes: a, b/x:81 → a:81, b/x:81"},
		{of: whole(), args: "--remove-route b/x/", want: "Routes: a, b/x:81 → a"},
		{of: whole(), args: "--remove-route b.example.com/x:81 --add-route c", want: "Routes: a, b/x:81 → a, c"},
		{of: whole(), args: "--remove-route b", fail: "it has a, b/x:81"},
		{of: whole(), args: "--remove-route a --remove-route b/x", want: "Routes: a, b/x:81 → none"},
		{of: whole(), args: "--default-routes", want: "Routes: a, b/x:81 → the default"},
		{of: standard, args: "--add-route c", want: "Routes: the default → web, web-80:80, web-81:81, c"},
		{of: app.App{Name: "web", NoRoutes: true}.WithDefaults(), args: "--add-route c", want: "Routes: none → c"},
		{of: app.App{Name: "web", NoRoutes: true}.WithDefaults(), args: "-R c", want: "Routes: none → c"},
		{of: app.App{Name: "web", NoRoutes: true}.WithDefaults(), args: "--remove-route c", fail: "it has none"},

		{of: whole(), args: "--monitor-port 80", want: "Check: GET / at port 81, timeout 1s, every 1m0s, fails after 9 in a row, accepts 200 → connect to port 80, timeout 1s, every 1m0s, fails after 9 in a row"},
		{of: whole(), args: "--no-startup --no-readiness", want: "Startup check: connect to port 80, timeout 1s → none of its own; Readiness check: GET /ready at the primary port, timeout 1s → none of its own"},
		{of: standard, args: "--startup-url /up --monitor-timeout 2s", want: "Check: connect to the primary port, timeout 1s → connect to the primary port, timeout 2s; Startup check: none of its own → GET /up at the primary port, timeout 2s"},
		{of: standard, args: "--require gpu --require disk=ssd --avoid db --one-per-cell", want: "Rules: any cell → requires disk=ssd, gpu; avoids db; one per cell"},
		{of: whole(), args: "--zone= --prefer=disk=ssd --cpus 1.5", want: "CPU kept free: 0.25 cores → 1.5 cores; Rules: zones z2 → prefers disk=ssd"},
		{of: standard, args: "--require =x", fail: "write KEY=VALUE or KEY"},
		{of: standard, args: "--startup-interval 1s", fail: "of no use without --startup-url"},
		{of: standard, args: "--monitor-url 1:2", fail: "must be PORT:/PATH"},
		{of: standard, args: "--privileged -v a:/a -v nfs://h/x:/b:ro", want: "Volumes: none → a:/a; nfs://h/x:/b:ro; Privileged: false → true"},
		{of: whole(), args: "--no-volumes", want: "Volumes: data:/data → none"},
		{of: standard, args: "-v x", fail: "write NAME:/PATH"},
	} {
		got, err := apply(t, tt.of, strings.Fields(tt.args)...)
		if tt.fail != "" {
			if err == nil || !strings.Contains(err.Error(), tt.fail) {
				t.Errorf("%s: got %v, want %q", tt.args, err, tt.fail)
			}
			continue
		}
		if text := differencesText(differences(tt.of, got)); err != nil || text != tt.want {
			t.Errorf("%s: got %q, %v, want %q", tt.args, text, err, tt.want)
		}
	}
}

// Whatever a user can ask for shows up when it differs.
func TestDifferencesMissNothing(t *testing.T) {
	unasked := map[string]bool{"Name": true, "Env": true, "Digest": true, "Revision": true, "Stopped": true, "Held": true, "Rollout": true, "CreatedAt": true}
	kind := reflect.TypeFor[app.App]()
	for i := range kind.NumField() {
		if unasked[kind.Field(i).Name] {
			continue
		}
		a := whole()
		reflect.ValueOf(&a).Elem().Field(i).SetZero()
		if kind.Field(i).Name == "NoRoutes" {
			a.NoRoutes = true
		}
		if len(differences(whole(), a)) != 1 {
			t.Errorf("%s: got %v, want one difference", kind.Field(i).Name, differences(whole(), a))
		}
	}
	for i := range reflect.TypeFor[app.Check]().NumField() {
		c := app.Check{Type: app.CheckHTTP, Port: 1, Path: "/a", Timeout: 1, Interval: 1, Failures: 1, Statuses: "200"}
		before := wholeCheck(&c)
		reflect.ValueOf(&c).Elem().Field(i).SetZero()
		if name := reflect.TypeFor[app.Check]().Field(i).Name; name != "Command" && before == wholeCheck(&c) {
			t.Errorf("Check.%s: makes no difference in %q", name, before)
		}
	}
}
