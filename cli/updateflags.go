package cli

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"lattice/app"
)

// updateFlags are the flags that change an app. What is not given stays.
type updateFlags struct {
	appFlags
	image        string
	pull         bool
	imageCommand bool
	unsetEnv     []string

	noStartup   bool
	noReadiness bool

	addRoutes     []string
	removeRoutes  []string
	defaultRoutes bool
	noTCPRoutes   bool
	noVolumes     bool

	strategy    string
	maxInFlight int
}

func (f *updateFlags) register(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.StringVar(&f.image, "image", "", "run `IMAGE`")
	fl.BoolVar(&f.pull, "pull", false, "ask the registry again what the image's tag stands for")
	fl.BoolVar(&f.imageCommand, "image-command", false, "go back to the image's own command")
	fl.StringArrayVar(&f.unsetEnv, "unset-env", nil, "take away the variable `NAME`; may be repeated")
	fl.StringArrayVar(&f.addRoutes, "add-route", nil, "`HOST[/PATH][:PORT]` leads to the app as well; may be repeated")
	fl.StringArrayVar(&f.removeRoutes, "remove-route", nil, "`HOST[/PATH]` leads to the app no more; may be repeated")
	fl.BoolVar(&f.defaultRoutes, "default-routes", false, "go back to APP.DOMAIN")
	fl.BoolVar(&f.noTCPRoutes, "no-tcp-routes", false, "no TCP route leads to the app any more")
	fl.BoolVar(&f.noVolumes, "no-volumes", false, "the instances see no volumes any more; what is in them stays")
	fl.BoolVar(&f.noStartup, "no-startup", false, "no startup check of its own any more")
	fl.BoolVar(&f.noReadiness, "no-readiness", false, "no readiness check any more")
	fl.StringVar(&f.strategy, "strategy", "", "`HOW` the instances change: rolling (new before old), recreate (old before new) or canary (one, then wait for --promote) [rolling]")
	fl.IntVar(&f.maxInFlight, "max-in-flight", 0, "change `N` instances at the same time [a quarter of them]")
	f.appFlags.register(cmd)
	fl.VisitAll(func(fl *pflag.Flag) {
		if t := fl.Value.Type(); t == "int" || t == "duration" || t == "MB" {
			fl.DefValue = "0" // what is not given stays, so the help shall name no default
		}
	})
	fl.Lookup("env").Usage = "set one variable and leave the others: `NAME=VALUE`, or NAME to take it from your environment"
	for _, name := range []string{"tcp-route", "volume"} {
		fl.Lookup(name).Usage += "; these instead of all there are"
	}
	fl.Lookup("http-route").Usage = "`HOST[/PATH][:PORT]` leads to the app instead of all routes there are; may be repeated"
}

func (f *updateFlags) conflict(cmd *cobra.Command) error {
	return cmp.Or(
		f.appFlags.conflict(cmd),
		f.startup.conflict(cmd, "no-startup"),
		f.readiness.conflict(cmd, "no-readiness"),
		exclusive(cmd, "tcp-route", "no-tcp-routes"),
		exclusive(cmd, "volume", "no-volumes"),
		exclusive(cmd, "http-route", "add-route", "no-routes", "default-routes"),
		exclusive(cmd, "http-route", "remove-route", "no-routes", "default-routes"),
	)
}

func (f *updateFlags) options() app.RolloutOptions {
	return app.RolloutOptions{Strategy: app.Strategy(f.strategy), MaxInFlight: f.maxInFlight}
}

// apply returns the spec of s with the changes that were given. The domain
// completes hosts; command is what came after --, nil if nothing did.
func (f *updateFlags) apply(given func(flag string) bool, s app.Status, domain string, command []string) (app.App, error) {
	asked, err := f.unchecked(s.App.Name, f.image, command)
	if err != nil {
		return app.App{}, err
	}
	a := s.App.WithDefaults() // a copy
	for name, put := range fields(&a, asked) {
		if given(name) {
			put()
		}
	}
	for name, put := range ruleFields(&a, asked) {
		if given(name) {
			put()
		}
	}
	if err := f.changeChecks(given, &a); err != nil {
		return app.App{}, err
	}
	if given("image") {
		a.Image = f.image
	}
	if command != nil || f.imageCommand {
		a.Command, a.Args = command, nil
	}
	if err := f.changeEnv(&a, asked.Env); err != nil {
		return app.App{}, err
	}
	if f.defaultRoutes {
		a.Routes, a.NoRoutes = nil, false
	}
	if len(f.addRoutes)+len(f.removeRoutes) > 0 {
		err = f.changeRoutes(&a, routeSet{s: s, domain: domain})
	}
	if err == nil {
		set := routeSet{s: s, domain: domain}
		err = setRouteOptions(&a, f.routeOptions, set.usual, set.same)
	}
	return a.WithDefaults(), err
}

// fields returns for each of the flags of an app how what it asks for is put
// into a. The environment and the checks are not among them.
func fields(a *app.App, asked app.App) map[string]func() {
	user := func() { a.User = asked.User }
	routes := func() {
		for i, r := range asked.Routes { // its options stay
			if at := slices.IndexFunc(a.Routes, func(was app.Route) bool { return was.Host == r.Host && was.Path == r.Path }); at >= 0 {
				asked.Routes[i].Options = a.Routes[at].Options
			}
		}
		a.Routes, a.NoRoutes = asked.Routes, asked.NoRoutes
	}
	return map[string]func(){
		"instances":     func() { a.Instances = asked.Instances },
		"memory-mb":     func() { a.MemoryMB = asked.MemoryMB },
		"disk-mb":       func() { a.DiskMB = asked.DiskMB },
		"cpu-weight":    func() { a.CPUWeight = asked.CPUWeight },
		"working-dir":   func() { a.Dir = asked.Dir },
		"user":          user,
		"run-as-root":   user,
		"ports":         func() { a.Ports = asked.Ports },
		"start-timeout": func() { a.StartTimeout = asked.StartTimeout },
		"stop-grace":    func() { a.StopGrace = asked.StopGrace },
		"http-route":    routes,
		"no-routes":     routes,
		"tcp-route":     func() { a.TCPRoutes = asked.TCPRoutes },
		"no-tcp-routes": func() { a.TCPRoutes = nil },
		"volume":        func() { a.Volumes = asked.Volumes },
		"no-volumes":    func() { a.Volumes = nil },
		"privileged":    func() { a.Privileged = asked.Privileged },
	}
}

func (f *updateFlags) changeEnv(a *app.App, set map[string]string) error {
	if a.Env == nil {
		a.Env = map[string]string{}
	}
	maps.Copy(a.Env, set)
	for _, name := range f.unsetEnv {
		if _, both := set[name]; both {
			return fmt.Errorf("the variable %s is to be set and taken away: choose one", name)
		}
		if _, ok := a.Env[name]; !ok {
			return fmt.Errorf("--unset-env %s: %s has no such variable; it has %s", name, a.Name,
				orText(strings.Join(slices.Sorted(maps.Keys(a.Env)), ", "), "none"))
		}
		delete(a.Env, name)
	}
	return nil
}

// changeRoutes adds and removes single routes. If the app has the default
// ones, they become its own first. An app without any is left with none.
func (f *updateFlags) changeRoutes(a *app.App, set routeSet) error {
	if len(a.Routes) == 0 && !a.NoRoutes {
		a.Routes = set.usual()
	}
	for _, text := range f.removeRoutes {
		r, err := parseRoute(text)
		if err != nil {
			return err
		}
		n := len(a.Routes)
		a.Routes = slices.DeleteFunc(a.Routes, func(have app.Route) bool { return set.same(have, r) && (r.Port == 0 || r.Port == have.Port) })
		if len(a.Routes) == n {
			return fmt.Errorf("--remove-route %s: %s has no such route; it has %s", text, a.Name, routesText(app.App{Routes: a.Routes, NoRoutes: n == 0}))
		}
	}
	for _, text := range f.addRoutes {
		r, err := parseRoute(text)
		if err != nil {
			return err
		}
		if i := slices.IndexFunc(a.Routes, func(have app.Route) bool { return set.same(have, r) }); i >= 0 {
			a.Routes[i].Port = r.Port // one host and path lead to one port
			continue
		}
		a.Routes = append(a.Routes, r)
	}
	a.NoRoutes = len(a.Routes) == 0
	return nil
}

// A routeSet knows what routes of an app mean.
type routeSet struct {
	s      app.Status
	domain string
}

// usual returns the default routes of the app, written out.
func (t routeSet) usual() []app.Route {
	name := t.s.App.Name
	routes := []app.Route{{Host: name}}
	ports := slices.Clone(t.s.App.Ports)
	for _, in := range t.s.Instances {
		for _, p := range in.Ports { // those of the image
			if !in.Stray && !slices.Contains(ports, p.Container) {
				ports = append(ports, p.Container)
			}
		}
	}
	for _, p := range ports {
		routes = append(routes, app.Route{Host: name + "-" + strconv.Itoa(p), Port: p})
	}
	return routes
}

// same reports whether a and b lead from the same host and path.
func (t routeSet) same(a, b app.Route) bool {
	return t.host(a) == t.host(b) && strings.TrimRight(a.Path, "/") == strings.TrimRight(b.Path, "/")
}

func (t routeSet) host(r app.Route) string {
	if strings.Contains(r.Host, ".") {
		return r.Host
	}
	return r.Host + "." + t.domain
}
