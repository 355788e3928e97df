package node

import (
	"context"
	"crypto/x509"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"lattice/api"
	"lattice/app"
	"lattice/images"
	"lattice/internal/doctor"
	"lattice/internal/pki"
)

// openRegistry opens the brain's registry.
func (b *brain) openRegistry() (err error) {
	dir := filepath.Join(b.cfg.DataDir, "brain")
	if b.registries, err = images.OpenSettings(dir); err != nil {
		return err
	}
	b.registry, err = images.Open(images.Config{
		Dir: filepath.Join(dir, "images"), Settings: b.registries, Log: b.log.With("part", "registry"),
		Authorize: b.mayPull, Cell: b.caller, Peers: b.peers, InUse: b.imagesInUse, Built: b.builtBy,
		Age: b.cfg.ImageAge, Full: fullDisk(b.cfg.DataDir, b.cfg.ImageDisk),
	})
	if err == nil {
		b.keepLogins()
	}
	return err
}

// mayPull is images.Config.Authorize: a cell shows its certificate, a user gives
// the token as a password, to whatever user name.
func (b *brain) mayPull(r *http.Request, push bool) error {
	if r.Header.Get(app.BuildHeader) != "" {
		return b.mayBuild(r, push)
	}
	if t := r.TLS; t != nil && len(t.VerifiedChains) > 0 {
		return b.mayCellPull(t.VerifiedChains[0][0], push)
	}
	_, token, ok := r.BasicAuth()
	if !ok {
		token = strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	}
	if token == "" {
		return app.Unauthorized("give a user's token as the password, with any user name")
	}
	role, err := auth{b.secrets}.Role(token)
	if err != nil {
		var who api.Caller
		if who, err = (users{b.users, b.ca}).Bearer(token); err != nil {
			return err
		}
		role = who.Role
	}
	if role == api.RoleUser || role == api.RoleViewer && !push {
		return nil
	}
	return app.Unauthorized("this token does not open the registry")
}

func (b *brain) mayCellPull(cert *x509.Certificate, push bool) error {
	if push {
		return app.Unauthorized("cells only pull")
	}
	_, in, err := b.secrets.Cell(cert)
	if err == nil {
		err = context.Cause(in)
	}
	return err
}

// imagesInUse is images.Config.InUse: what apps and tasks run, and what apps
// can go back to.
func (b *brain) imagesInUse() map[string][]string {
	by := map[string][]string{}
	add := func(name string, a app.App) {
		if a.Digest == "" {
			return
		}
		key := images.Key(a.Image, a.Digest)
		for _, n := range by[key] {
			if n == name {
				return
			}
		}
		by[key] = append(by[key], name)
	}
	for _, s := range b.sched.Statuses() {
		add(s.App.Name, s.App)
		revisions, err := b.sched.Revisions(s.App.Name)
		if err != nil {
			continue // removed a moment ago
		}
		for _, r := range revisions {
			add(s.App.Name, r.App)
		}
	}
	for _, t := range b.sched.Tasks() {
		add(t.Name, t.Spec)
	}
	for _, s := range b.sched.Schedules() {
		add(s.Name, s.Task.Spec)
	}
	return by
}

// owners of logins begin with what they are.
const (
	ownsApp      = "app "
	ownsTask     = "task "
	ownsSchedule = "schedule "
)

// choose gives an app the digest of its image. A login that came with it is kept
// for its owner; when the app is not stored after all, undo forgets it.
func (b *brain) choose(ctx context.Context, owner string, a app.App) (_ app.App, undo func(), err error) {
	undo = func() {}
	as := app.LoginOf(ctx)
	if _, ok := bundledImages()[strings.TrimSuffix(a.Image, ":latest")]; ok {
		if as.Username != "" {
			return a, undo, app.Invalid("the image %s is bundled: it needs no login", a.Image)
		}
		a.Digest = ""
		return a, undo, nil
	}
	if err = b.mayRun(a.Image); err != nil {
		return a, undo, err
	}
	if a.Digest, err = b.registry.Resolve(ctx, a.Image, as); err != nil || as.Username == "" {
		return a, undo, err
	}
	back, err := b.registries.SetLogin(owner, a.Image, as)
	return a, func() {
		if err := back(); err != nil {
			b.log.Warn("a login is kept that nobody needs", "app", a.Name, "err", err)
		}
	}, err
}

// mayRun returns an error when an image needs a feature that is disabled.
func (b *brain) mayRun(image string) error {
	need := app.App{Image: image, Digest: "any"}.Needs()
	for _, f := range b.sched.Features() {
		if f.Name == need && !f.Enabled {
			return app.Invalid("the image %s is of another registry, and the feature %s is disabled: run a bundled image or one that was pushed to the cluster ('ltc images' lists them), or ask an administrator for 'ltc feature enable %s'", image, need, need)
		}
	}
	return nil
}

// forgetLogins forgets what the images of an owner were pulled with.
func (b *brain) forgetLogins(owner string) {
	if err := b.registries.Forget(owner); err != nil {
		b.log.Warn("a login is kept that nobody needs", "app", owner, "err", err)
	}
}

// keepLogins forgets the logins of what is there no more.
func (b *brain) keepLogins() {
	exists := map[string]bool{}
	for _, s := range b.sched.Statuses() {
		exists[ownsApp+s.App.Name] = true
	}
	for _, t := range b.sched.Tasks() {
		exists[ownsTask+t.Name] = true
	}
	for _, s := range b.sched.Schedules() {
		exists[ownsSchedule+s.Name] = true
	}
	if err := b.registries.Keep(func(owner string) bool { return exists[owner] }); err != nil {
		b.log.Warn("logins are kept that nobody needs", "err", err)
	}
}

// caller is images.Config.Cell.
func (b *brain) caller(r *http.Request) string {
	if r.Header.Get(app.BuildHeader) != "" { // what a build is sent its cell does not have
		return ""
	}
	if t := r.TLS; t != nil && len(t.VerifiedChains) > 0 {
		return pki.CellOf(t.VerifiedChains[0][0])
	}
	return ""
}

// peers is images.Config.Peers.
func (b *brain) peers(cells []string) (places []string) {
	at := map[string]string{}
	for _, c := range b.sched.Cells() {
		if c.State == app.CellAlive && c.Vitals != nil && c.Vitals.LayersPort > 0 {
			at[c.ID] = net.JoinHostPort(c.Address, strconv.Itoa(c.Vitals.LayersPort))
		}
	}
	for _, c := range cells {
		if at[c] != "" {
			places = append(places, at[c])
		}
	}
	return places
}

// stock is api.Images.
type stock struct{ b *brain }

func (s stock) Registries() []app.Registry { return s.b.registries.List() }

func (s stock) PutRegistry(ctx context.Context, r app.Registry, check bool) error {
	if check {
		if err := s.b.registries.Greet(ctx, r); err != nil {
			return err
		}
	}
	return s.b.registries.Put(r)
}

func (s stock) RemoveRegistry(_ context.Context, host string) error {
	return s.b.registries.Remove(host)
}

func (s stock) Allowed() []string { return s.b.registries.Allowed() }

func (s stock) SetAllowed(_ context.Context, patterns []string) error {
	return s.b.registries.SetAllowed(patterns)
}

func (s stock) Images(ctx context.Context) ([]app.StoredImage, error) {
	all, err := s.b.registry.List(ctx)
	at := map[string][]string{}
	for pulled, cells := range s.b.sched.ImagePlaces() {
		name, dgst, _ := strings.Cut(pulled, "@")
		key := images.Key(name, dgst)
		at[key] = slices.Compact(slices.Sorted(slices.Values(append(at[key], cells...))))
	}
	for i := range all {
		all[i].Cells = at[images.Key(all[i].Name, all[i].Digest)]
	}
	return all, err
}

// Prune also has the cells delete what nothing there needs.
func (s stock) Prune(ctx context.Context, r api.PruneRequest) (app.Pruning, error) {
	p, err := s.b.registry.Prune(ctx, images.Rule{Unused: time.Duration(r.Unused), Own: r.Own, Only: r.Only, DryRun: r.DryRun})
	p.Cells = []string{}
	if err != nil || r.Only != "" {
		return p, err
	}
	for _, c := range s.b.sched.Cells() {
		if c.State == app.CellAlive {
			p.Cells = append(p.Cells, c.ID)
		}
	}
	if !r.DryRun {
		s.b.sched.PruneCells(time.Duration(r.Unused))
	}
	return p, nil
}

// loginsEvery is how often logins are looked over that nobody needs any more.
const loginsEvery = time.Hour

func (b *brain) tidyLogins(ctx context.Context) error {
	tick := time.NewTicker(loginsEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			b.keepLogins()
		}
	}
}

// fullDisk returns what tells whether so many percent of the disk that has dir, or
// more, are in use.
func fullDisk(dir string, percent int) func() bool {
	return func() bool {
		free, total, _, err := doctor.DiskOf(dir)
		return err == nil && total > 0 && 100*(total-free) >= percent*total
	}
}
