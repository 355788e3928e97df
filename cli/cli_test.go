package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"lattice/app"
)

// point makes the commands of this test talk to a brain of its own.
func point(t *testing.T) *fakeBrain {
	t.Helper()
	b, url, ca := serve(t, func(f func()) { t.Cleanup(f) })
	t.Setenv("LATTICE_CLI_HOME", t.TempDir())
	for _, name := range []string{"LATTICE_TARGET", "LATTICE_TOKEN", "LATTICE_CA"} {
		t.Setenv(name, "")
	}
	if err := saveTarget(defaultTarget, target{URL: url, Token: testToken, CA: ca}); err != nil {
		t.Fatal(err)
	}
	return b
}

// A console is output that a test waits for.
type console struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{}
}

func newConsole() *console { return &console{more: make(chan struct{}, 1)} }

func (c *console) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case c.more <- struct{}{}:
	default:
	}
	return c.text.Write(b)
}

func (c *console) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.String()
}

// await waits until want was printed.
func (c *console) await(t *testing.T, want string) {
	t.Helper()
	late := time.After(20 * time.Second)
	for !strings.Contains(c.String(), want) {
		select {
		case <-c.more:
		case <-late:
			t.Fatalf("did not print %q:\n%s", want, c)
		}
	}
}

// A run is a command at work.
type run struct {
	out, err *console
	stop     context.CancelFunc
	code     chan int
}

func start(t *testing.T, args ...string) *run {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	r := &run{out: newConsole(), err: newConsole(), stop: stop, code: make(chan int, 1)}
	go func() { r.code <- Main(ctx, append([]string{"ltc"}, args...), strings.NewReader(""), r.out, r.err) }()
	return r
}

func (r *run) end(t *testing.T, want int) {
	t.Helper()
	select {
	case got := <-r.code:
		if got != want {
			t.Errorf("got exit code %d, want %d\n%s", got, want, r.err)
		}
	case <-time.After(20 * time.Second):
		t.Fatalf("did not end\n%s", r.err)
	}
}

func TestSignalEndsAWait(t *testing.T) {
	b := point(t)
	b.plays["create"] = []step{{Instances: []app.Instance{{State: app.Claimed, Cell: "c1"}}}}
	r := start(t, "create", "web", "lattice/hello")
	r.err.await(t, "web/0 CLAIMED on c1")
	r.stop()
	r.end(t, exitSignal)
	if !strings.Contains(r.err.String(), "web stays desired") || strings.Contains(r.err.String(), "error:") {
		t.Errorf("got %s", r.err)
	}
}

func TestLogsWaitForTheAppAndFollow(t *testing.T) {
	b := point(t)
	r := start(t, "logs", "web", "-i", "1")
	r.err.await(t, "App web not found. Waiting for it to appear")
	b.plays["create"] = []step{{Lines: []app.LogLine{{Index: 0, GUID: "a", Text: "zero"}, {Index: 1, GUID: "b", Text: "one"}}}}
	if _, err := b.Create(t.Context(), app.App{Name: "web", Image: "x", Instances: 2}); err != nil {
		t.Fatal(err)
	}
	r.out.await(t, "[APP|1] one\n")
	b.do("web", step{Lines: []app.LogLine{{Index: 1, GUID: "b", Seq: 5, Text: "five"}}})
	r.out.await(t, "[APP|1] five\n")
	r.err.await(t, "3 lines of web/1 are missing here")
	r.stop()
	r.end(t, exitSignal)
	if got := r.out.String(); strings.Contains(got, "zero") || strings.Count(got, "one") != 1 {
		t.Errorf("got %s", got)
	}
}

// A broken stream is picked up again, and no line is lost or printed twice.
func TestLogsSurviveABrokenStream(t *testing.T) {
	line := func(guid string, seq uint64, text string) app.LogLine {
		return app.LogLine{App: "web", GUID: guid, Seq: seq, Text: text, At: time.Now().Add(time.Hour)}
	}
	old := line("old", 7, "not asked for")
	old.At = time.Now().Add(-time.Hour)
	b := &brokenLogs{answers: [][]app.LogLine{
		{line("a", 4, "four")},
		{old, line("a", 3, "three"), line("a", 4, "four"), line("a", 5, "five"), line("b", 1, "new")},
		{old, line("a", 5, "five"), line("b", 1, "new"), line("b", 2, "last")},
	}}
	var got, warnings []string
	tail := tail{
		brain: b, app: "web", lines: 1, instance: everyInstance,
		emit: func(l app.LogLine) error { got = append(got, l.Text); return nil },
		warn: func(format string, _ ...any) { warnings = append(warnings, format) },
	}
	if err := tail.follow(t.Context()); !errors.Is(err, app.ErrNotFound) {
		t.Errorf("got %v, want what ended the last stream", err)
	}
	if g, want := strings.Join(got, " "), "four five new last"; g != want {
		t.Errorf("got %q, want %q", g, want)
	}
	if len(warnings) != 3 {
		t.Errorf("got %d warnings, want one for each break: %q", len(warnings), warnings)
	}
}

// Lines of an app of the same name that was removed are not shown as the new one's.
func TestCreateShowsNoLinesOfANamesake(t *testing.T) {
	b := point(t)
	b.addLine("web", app.LogLine{GUID: "old", Text: "from the grave", At: time.Now().Add(-time.Minute)})
	b.plays["create"] = []step{
		{Lines: []app.LogLine{{GUID: "new", Text: "alive"}}},
		{After: app.Duration(200 * time.Millisecond), Instances: []app.Instance{{State: app.Running, GUID: "new"}}},
	}
	r := start(t, "create", "web", "lattice/hello")
	r.err.await(t, "[APP|0] alive")
	r.end(t, exitOK)
	if strings.Contains(r.err.String(), "grave") {
		t.Errorf("got %s", r.err)
	}
}

// What scrolls by never tears the line at the bottom of a terminal.
func TestProgressOnATerminal(t *testing.T) {
	var out bytes.Buffer
	p := newProgress(&screen{w: &out, tty: true})
	s := app.Status{App: app.App{Name: "web", Instances: 2}, Instances: []app.Instance{
		{Index: 0, State: app.Running, Cell: "c1"},
		{Index: 1, State: app.Claimed, Cell: "c1", Pull: &app.Pull{Done: 1 << 20, Total: 2 << 20}},
	}}
	p.status(s)
	p.status(s) // says nothing new
	p.tick(time.Now())
	p.warn("careful")
	p.clear()
	want := strings.Join([]string{
		"web/1 CLAIMED on c1\n", "⠋", "⠙",
		"warning: careful\n", "⠙", "",
	}, "|")
	var got []string
	for _, part := range strings.Split(out.String(), "\r") {
		part = strings.ReplaceAll(part, "\x1b[K", "")
		if spin, _, ok := strings.Cut(part, " web: 1 of 2 running, 1 claimed, pulling the image: 1M of 2M (50%)"); ok {
			part = spin
		}
		got = append(got, part)
	}
	if g := strings.Join(got, "|"); g != want {
		t.Errorf("got %q, want %q", g, want)
	}
}

// What came up before the first status is told, though it runs by then.
func TestWhatWasQuickIsTold(t *testing.T) {
	b := point(t)
	running := func(n int) app.Status {
		s := app.Status{App: app.App{Name: "web", Instances: n}}
		for i := range n {
			s.Instances = append(s.Instances, app.Instance{ID: fmt.Sprint("p", i), Index: i, State: app.Running, Cell: "c1"})
		}
		return s
	}
	now := running(2)
	b.apps["web"] = &now
	client, err := connect()
	if err != nil {
		t.Fatal(err)
	}
	told := newConsole()
	w := waiter{st: &streams{err: newScreen(told)}, brain: client, app: "web", timeout: 20 * time.Second, before: running(1)}
	if _, err := w.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, want := told.String(), "web/1 RUNNING on c1\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestWriteErrorOfOutputIsNotOverlooked(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("there is no /dev/full here")
	}
	defer full.Close()
	errs := newConsole()
	if got := Main(t.Context(), []string{"ltc", "help"}, nil, full, errs); got != exitFile {
		t.Errorf("got exit code %d, want %d", got, exitFile)
	}
	errs.await(t, "write to standard output")
}

// The server half keeps the client's other targets when it sets its own.
func TestSaveTargetKeepsTheOthers(t *testing.T) {
	t.Setenv("LATTICE_CLI_HOME", t.TempDir())
	for _, name := range []string{"a", "b"} {
		if err := saveTarget(name, target{URL: "https://" + name}); err != nil {
			t.Fatal(err)
		}
	}
	path, err := targetPath()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var ts targets
	if err := json.Unmarshal(data, &ts); err != nil {
		t.Fatal(err)
	}
	if ts.Current != "b" || ts.Targets["a"].URL != "https://a" || ts.Targets["b"].URL != "https://b" {
		t.Errorf("got %s", data)
	}
	left, err := filepath.Glob(filepath.Join(filepath.Dir(path), ".config-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind %v, %v", left, err)
	}
}
