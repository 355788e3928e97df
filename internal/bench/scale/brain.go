package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"lattice/api"
	"lattice/app"
	"lattice/internal/config"
	"lattice/internal/node"
)

// brain is the process that is measured.
type brain struct {
	proc    *exec.Cmd
	client  *api.Client
	in      io.Closer
	telling sync.Mutex
	crowd   *json.Encoder // takes the cells that have come or gone
	url     string
	ca      string
}

// startBrain starts a brain on ports of the loopback.
func startBrain(dir string) (*brain, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	b := &brain{proc: exec.Command(self, "brain", "--data-dir", filepath.Join(dir, "data"), "--state-dir", filepath.Join(dir, "state"),
		"--advertise", "127.0.0.1", "--api", "127.0.0.1:0", "--gossip", "127.0.0.1:0", "--http", "127.0.0.1:0", "--log-level", "warn")}
	log, err := os.Create(filepath.Join(dir, "brain.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	b.proc.Stderr = log
	out, err := b.proc.StdoutPipe()
	if err != nil {
		return nil, err
	}
	in, err := b.proc.StdinPipe()
	if err != nil {
		return nil, err
	}
	b.in, b.crowd = in, json.NewEncoder(in)
	if err := b.proc.Start(); err != nil {
		return nil, fmt.Errorf("start the brain: %w", err)
	}
	var at node.Ready
	if err := json.NewDecoder(out).Decode(&at); err != nil {
		b.stop()
		said, _ := os.ReadFile(filepath.Join(dir, "brain.log"))
		return nil, fmt.Errorf("the brain doesn't come up: %w: %s", err, said)
	}
	b.url, b.ca = at.API, at.CA
	b.client, err = api.NewClient(api.ClientConfig{URL: at.API, Token: at.Token, CA: at.CA})
	return b, err
}

// profileTo names the file that the brain's use of the processor is written to.
const profileTo = "SCALE_PROFILE"

// runBrain is the process that is measured: a brain, which takes from standard
// input what gossip would tell it of cells.
func runBrain(ctx context.Context, args []string) error {
	flags := pflag.NewFlagSet("brain", pflag.ContinueOnError)
	config.AddBrainFlags(flags)
	if err := flags.Parse(args); err != nil {
		return err
	}
	cfg, err := config.Brain(flags, "")
	if err != nil {
		return err
	}
	if path := os.Getenv(profileTo); path != "" {
		f, err := os.Create(path)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	signal.Ignore(os.Interrupt, syscall.SIGTERM) // it ends with who started it
	ctx, stop := context.WithCancel(ctx)
	c := &listed{cells: map[string]app.Cell{}, changed: make(chan struct{})}
	go func() {
		c.read(os.Stdin)
		stop() // who started us is gone
	}()
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: cfg.LogLevel}))
	return node.BrainAmong(ctx, c.list, cfg, "bench", log, func(r node.Ready) { _ = json.NewEncoder(os.Stdout).Encode(r) })
}

// listed are the cells there are.
type listed struct {
	mu      sync.Mutex // guards what follows
	cells   map[string]app.Cell
	changed chan struct{}
}

func (l *listed) read(from io.Reader) {
	for d := json.NewDecoder(from); ; {
		var c app.Cell
		if d.Decode(&c) != nil {
			return
		}
		l.mu.Lock()
		if l.cells[c.ID] = c; c.State == app.CellDead {
			delete(l.cells, c.ID)
		}
		close(l.changed)
		l.changed = make(chan struct{})
		l.mu.Unlock()
	}
}

func (l *listed) list() ([]app.Cell, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.SortedFunc(maps.Values(l.cells), func(a, b app.Cell) int { return strings.Compare(a.ID, b.ID) }), l.changed
}

// tell is what gossip does: it says how a cell is.
func (b *brain) tell(c app.Cell) error {
	b.telling.Lock()
	defer b.telling.Unlock()
	return b.crowd.Encode(c)
}

func (b *brain) stop() {
	_ = b.in.Close() // ends it
	_ = b.proc.Wait()
}

// rss returns the resident memory in MB.
func (b *brain) rss() float64 {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", b.proc.Process.Pid))
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, _ := strconv.Atoi(strings.Fields(rest)[0])
			return float64(kb) / 1024
		}
	}
	return 0
}

// cpu returns the processor time so far.
func (b *brain) cpu() time.Duration {
	const tick = 10 * time.Millisecond // USER_HZ is 100 wherever Go runs
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", b.proc.Process.Pid))
	_, rest, _ := strings.Cut(string(data), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * tick
}

// seen is what the brain shows of all cells.
type seen struct{ alive, running int }

// until waits until the brain shows what is wanted.
func (b *brain) until(ctx context.Context, what string, ok func(seen) bool) error {
	const patience = 5 * time.Minute
	for start, told := time.Now(), time.Now(); ; time.Sleep(500 * time.Millisecond) {
		cells, err := b.client.Cells(ctx)
		if err != nil {
			return err
		}
		var s seen
		for _, c := range cells {
			if s.running += c.Running; c.State == app.CellAlive {
				s.alive++
			}
		}
		if ok(s) {
			return nil
		}
		if time.Since(start) > patience {
			return fmt.Errorf("not within %s: %s: %d cells alive, %d instances running", patience, what, s.alive, s.running)
		}
		if time.Since(told) > 10*time.Second {
			told = time.Now()
			fmt.Printf("… %d cells alive, %d instances running\n", s.alive, s.running)
		}
	}
}

func appName(i int) string { return fmt.Sprintf("app-%05d", i) }

// create creates n apps, from number first on.
func (b *brain) create(ctx context.Context, first, n, instances int) error {
	const atOnce = 16
	todo, failed := make(chan int), make(chan error, atOnce)
	var workers sync.WaitGroup
	for range atOnce {
		workers.Go(func() {
			for i := range todo {
				if err := b.createOne(ctx, app.App{Name: appName(i), Image: "lattice/hello", Instances: instances, MemoryMB: 128, Ports: []int{8080}}); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	var err error
	for i := first; i < first+n && err == nil; i++ {
		select {
		case todo <- i:
		case err = <-failed:
		}
	}
	close(todo)
	workers.Wait()
	return err
}

// createOne creates an app, and tries again when the brain can't be reached, as
// happens on a machine that has no processor time left.
func (b *brain) createOne(ctx context.Context, a app.App) error {
	for tries := 1; ; tries++ {
		_, err := b.client.CreateApp(ctx, a)
		switch {
		case tries > 1 && errors.Is(err, app.ErrExists):
			return nil
		case tries == 5 || !errors.Is(err, app.ErrUnavailable):
			return err
		}
	}
}
