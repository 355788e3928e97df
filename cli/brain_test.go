package cli

import (
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/big"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"lattice/api"
	"lattice/app"
	"lattice/events"
)

const testToken = "test-token-0123456789"

// A fakeBrain is what stands behind a real API server: it plays the steps it
// was given for what happens to an app, in place of cells.
type fakeBrain struct {
	mu        sync.Mutex // guards what follows
	apps      map[string]*app.Status
	revisions map[string][]app.Revision // by app, oldest first
	lines     map[string][]app.LogLine
	cells     []app.Cell
	strays    []app.Instance
	made      int // placements
	changed   chan struct{}
	program   fakeProgram
	plays     map[string][]step // by what was asked: create, scale, remove, update, …
	playing   sync.WaitGroup
	stop      chan struct{}
	journal   *events.Journal
	findings  []app.Finding
	volumes   []app.VolumeStatus
	noImages  bool // the feature is disabled
}

// A step is what happens at one moment.
type step struct {
	After     app.Duration   `json:"after"`     // the step before it
	Instances []app.Instance `json:"instances"` // replace those that there are; App and Revision are filled in
	Lines     []app.LogLine  `json:"lines"`     // App, Seq, At, Stream and Source are filled in
	Remove    bool           `json:"remove"`    // the app is gone

	App     string           `json:"app"`     // empty: the one that something was asked of
	Rollout app.RolloutState `json:"rollout"` // empty: as before
	Reason  string           `json:"reason"`  // why the rollout failed
	Again   bool             `json:"again"`   // somebody changes the app again
	Undrain bool             `json:"undrain"` // no cell drains any more
}

// serve starts a brain with a real API server in front of it and returns its
// URL and the certificate to trust.
func serve(t testing.TB, done func(func())) (b *fakeBrain, url, ca string) {
	t.Helper()
	b = &fakeBrain{apps: map[string]*app.Status{}, revisions: map[string][]app.Revision{}, lines: map[string][]app.LogLine{}, plays: map[string][]step{}, changed: make(chan struct{}), stop: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	cert, ca := certificate(t)
	var err error
	if b.journal, err = events.Open(t.TempDir(), events.Limits{}, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	execs := newFakeExecs(t, b)
	tasks := newFakeTasks(t, b, done)
	srv := httptest.NewUnstartedServer(api.NewServer(api.ServerConfig{
		Apps: b, Cells: b, Volumes: b, Logs: b, Programs: b, Tasks: tasks, Builds: &fakeBuilds{tasks}, Trust: newFakeTrust(b), Done: ctx,
		Auth: api.Tokens{User: api.HashToken(testToken)}, Users: &fakeUsers{},
		Info: api.Info{Version: currentVersion(), Domain: "lattice.test", RouterURL: "http://lattice.test:8080", HTTPSURL: "https://lattice.test:8443", AppsCA: "-----BEGIN CERTIFICATE-----\n",
			SSH: &api.SSH{Port: 2222, HostKey: "ssh-ed25519 AAAA", Fingerprint: "SHA256:abc"}},
		Execs: execs, SSHKeys: execs, Images: &fakeImages{},
		Log: slog.New(slog.DiscardHandler), Events: b.journal, Router: b, Doctor: b,
	}))
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	srv.StartTLS()
	done(func() {
		close(b.stop)
		b.playing.Wait()
		cancel()
		srv.Close()
	})
	return b, srv.URL, ca
}

// certificate returns one for the API server that vouches for itself.
func certificate(t testing.TB) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	about := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{api.ServerName}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, about, about, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// load reads the steps for the moments at which something is asked, and what
// there is from the beginning.
func (b *fakeBrain) load(r io.Reader) error {
	var script struct {
		Apps  []app.Status      `json:"apps"`
		Cells []app.Cell        `json:"cells"`
		Plays map[string][]step `json:"plays"`
		Lines []app.LogLine     `json:"lines"`

		Strays    []app.Instance `json:"strays"`
		Program   fakeProgram    `json:"program"`
		Revisions []app.Revision `json:"revisions"`
		Events    []app.Event    `json:"events"`
		Findings  []app.Finding  `json:"findings"`

		Volumes []app.VolumeStatus `json:"volumes"`
	}
	dec := json.NewDecoder(r)
	dec.DisallowUnknownFields()
	if err := dec.Decode(&script); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range script.Apps {
		s.App = s.App.WithDefaults()
		for i := range s.Instances {
			if s.Instances[i].Since.IsZero() {
				s.Instances[i].Since = time.Now().Add(-3*time.Hour - 5*time.Minute)
			}
		}
		b.apps[s.App.Name] = &s
	}
	b.plays, b.program = script.Plays, script.Program
	if script.Cells != nil {
		b.cells = script.Cells
	}
	if script.Strays != nil {
		b.strays = script.Strays
	}
	for _, r := range script.Revisions {
		b.revisions[r.App.Name] = append(b.revisions[r.App.Name], r)
	}
	for _, l := range script.Lines {
		b.addLine(l.App, l)
	}
	b.findings, b.volumes = script.Findings, script.Volumes
	for _, e := range script.Events {
		b.journal.Emit(e)
	}
	return nil
}

// touch tells that something changed; mu is held.
func (b *fakeBrain) touch() {
	close(b.changed)
	b.changed = make(chan struct{})
}

// play lets the steps for a moment happen to the app; mu is held.
func (b *fakeBrain) play(moment, name string) {
	steps, ok := b.plays[moment]
	if !ok {
		steps = b.usual(moment, name)
	}
	b.playing.Go(func() {
		for _, st := range steps {
			select {
			case <-time.After(time.Duration(st.After)):
			case <-b.stop:
				return
			}
			b.do(cmp.Or(st.App, name), st)
		}
	})
}

// usual is what happens when all goes well.
func (b *fakeBrain) usual(moment, name string) []step {
	switch moment {
	case "remove":
		return []step{{Remove: true}}
	case "drain":
		return b.evacuation(name)
	}
	var claimed, running []app.Instance
	a := b.apps[name].App
	for i := range a.Wanted() {
		b.made++
		in := app.Instance{ID: fmt.Sprint("p", b.made), Index: i, Cell: "cell-1", State: app.Claimed, GUID: fmt.Sprint("g", b.made)}
		claimed = append(claimed, in)
		in.State = app.Running
		running = append(running, in)
	}
	soon := app.Duration(20 * time.Millisecond)
	if r := a.Rollout; r != nil && r.State == app.RolloutRunning {
		return handover(b.apps[name].Instances, claimed, running)
	}
	return []step{{Instances: claimed}, {After: soon, Instances: running}}
}

func (b *fakeBrain) do(name string, st step) {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer b.touch()
	for _, l := range st.Lines {
		b.addLine(name, l)
	}
	s, ok := b.apps[name]
	switch {
	case !ok:
		return
	case st.Remove:
		delete(b.apps, name)
		return
	}
	now := *s // a value that was handed out is not changed any more
	b.turn(&now.App, st)
	now.Instances = slices.Clone(st.Instances)
	for i := range now.Instances {
		in := &now.Instances[i]
		in.App, in.Revision = name, cmp.Or(in.Revision, now.App.Revision)
		if in.Since.IsZero() {
			in.Since = time.Now()
		}
	}
	b.apps[name] = &now
}

// addLine appends l to the lines of the app; mu is held.
func (b *fakeBrain) addLine(name string, l app.LogLine) {
	l.App = name
	if l.Seq == 0 {
		for _, have := range b.lines[name] {
			if have.GUID == l.GUID {
				l.Seq = have.Seq
			}
		}
		l.Seq++
	}
	if l.At.IsZero() {
		l.At = time.Now()
	}
	if l.Stream == "" {
		l.Stream = app.Stdout
	}
	if l.Source == "" {
		l.Source = app.SourceApp
	}
	b.lines[name] = append(b.lines[name], l)
}

func (b *fakeBrain) Create(ctx context.Context, a app.App) (app.App, error) {
	if err := mayPull(ctx, a.Image); err != nil {
		return app.App{}, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.apps[a.Name]; ok {
		return app.App{}, fmt.Errorf("app %q %w", a.Name, app.ErrExists)
	}
	a.Revision, a.CreatedAt = 1, time.Now()
	b.revisions[a.Name] = []app.Revision{{App: a, At: a.CreatedAt, Cause: "create"}}
	s := app.Status{App: a, Instances: []app.Instance{}, URLs: []string{}}
	if !a.NoRoutes {
		s.URLs = append(s.URLs, "http://"+a.Name+".lattice.test:8080")
	}
	b.apps[a.Name] = &s
	b.touch()
	b.play("create", a.Name)
	return a, nil
}

func (b *fakeBrain) Status(name string) (app.Status, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s, ok := b.apps[name]; ok {
		return *s, nil
	}
	return app.Status{}, fmt.Errorf("app %q %w", name, app.ErrNotFound)
}

func (b *fakeBrain) Statuses() []app.Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []app.Status
	for _, name := range slices.Sorted(maps.Keys(b.apps)) {
		if s := b.apps[name]; s.App.Image != "" {
			all = append(all, *s)
		}
	}
	return all
}

func (b *fakeBrain) Scale(_ context.Context, name string, n int) (app.App, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s, ok := b.apps[name]
	if !ok {
		return app.App{}, fmt.Errorf("app %q %w", name, app.ErrNotFound)
	}
	now := *s
	now.App.Instances = n
	b.apps[name] = &now
	b.touch()
	b.play("scale", name)
	return now.App, nil
}

func (b *fakeBrain) Diagnose(context.Context) []app.Finding {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.findings
}

func (b *fakeBrain) Support(context.Context) (map[string][]byte, error) {
	return map[string][]byte{"lattice.log": []byte("level=INFO msg=started token=" + testToken + "\n"), "goroutines.txt": []byte("goroutine profile: total 1\n")}, nil
}

// rehearsal has the instances of a on cell-1, but those beyond the tenth.
func rehearsal(a app.App) app.Rehearsal {
	r := app.Rehearsal{App: a}
	for i := range a.Wanted() {
		if i < 10 {
			r.Start = append(r.Start, app.Place{Index: i, Cell: "cell-1", Revision: a.Revision})
		} else {
			r.Refused = append(r.Refused, app.Refused{Index: i, Reason: "needs more than there is"})
		}
	}
	return r
}

func (b *fakeBrain) RehearseCreate(_ context.Context, a app.App) (app.Rehearsal, error) {
	if _, err := b.Status(a.Name); err == nil {
		return app.Rehearsal{}, fmt.Errorf("app %q %w", a.Name, app.ErrExists)
	}
	return rehearsal(a), nil
}

func (b *fakeBrain) RehearseUpdate(_ context.Context, a app.App, _ app.RolloutOptions) (app.Rehearsal, error) {
	a.Revision++
	return rehearsal(a), nil
}

func (b *fakeBrain) RehearseScale(_ context.Context, name string, n int) (app.Rehearsal, error) {
	s, err := b.Status(name)
	s.App.Instances = n
	return rehearsal(s.App), err
}

func (b *fakeBrain) Remove(_ context.Context, name string, _ bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	s, ok := b.apps[name]
	if !ok || s.App.Image == "" {
		return fmt.Errorf("app %q %w", name, app.ErrNotFound)
	}
	b.apps[name] = &app.Status{App: app.App{Name: name}, Instances: s.Instances, URLs: []string{}} // until they are gone
	b.touch()
	b.play("remove", name)
	return nil
}

func (b *fakeBrain) Volumes() []app.VolumeStatus {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.volumes)
}

func (b *fakeBrain) RemoveVolume(_ context.Context, id string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := slices.IndexFunc(b.volumes, func(v app.VolumeStatus) bool { return v.ID == id })
	switch {
	case i < 0:
		return fmt.Errorf("volume %q %w", id, app.ErrNotFound)
	case b.volumes[i].State == app.VolumeInUse:
		return app.Invalid("volume %s is in use", b.volumes[i].VolumeKey)
	}
	b.volumes = slices.Delete(b.volumes, i, i+1)
	return nil
}

func (b *fakeBrain) Changed() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.changed
}

func (b *fakeBrain) Tail(name string, n int) []app.LogLine {
	b.mu.Lock()
	defer b.mu.Unlock()
	lines := b.lines[name]
	if n >= 0 {
		lines = lines[max(0, len(lines)-n):]
	}
	return slices.Clone(lines)
}

func (b *fakeBrain) Follow(ctx context.Context, name string, n int, fn func([]app.LogLine) error) error {
	b.mu.Lock()
	next := 0
	if n >= 0 {
		next = max(0, len(b.lines[name])-n)
	}
	b.mu.Unlock()
	for {
		changed := b.Changed()
		lines := b.Tail(name, -1)[next:]
		next += len(lines)
		if len(lines) > 0 {
			if err := fn(lines); err != nil {
				return err
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (b *fakeBrain) Append([]app.LogLine)               {}
func (b *fakeBrain) Cursors([]string) map[string]uint64 { return nil }
func (b *fakeBrain) Work(string) (app.Work, error)      { return app.Work{}, app.ErrNotFound }
func (b *fakeBrain) WorkChanged(string) <-chan struct{} { return b.Changed() }
func (b *fakeBrain) Report(app.Report) error            { return nil }

// brokenLogs is a brain whose log streams break after each of the answers.
type brokenLogs struct {
	brain
	answers [][]app.LogLine
}

func (b *brokenLogs) Logs(_ context.Context, name string, _ api.LogOptions, each func(app.LogLine) error) error {
	if len(b.answers) == 0 {
		return fmt.Errorf("app %q %w", name, app.ErrNotFound)
	}
	lines := b.answers[0]
	b.answers = b.answers[1:]
	for _, l := range lines {
		if err := each(l); err != nil {
			return err
		}
	}
	return fmt.Errorf("cut off: %w", app.ErrUnavailable)
}
