package cli

import (
	"context"
	"log/slog"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"lattice/app"
	"lattice/scheduler"
	"lattice/store"
)

// newFakeTasks returns the real thing for tasks and schedules, with a cell that
// plays them in place of running them. Their commands are words:
//
//	say TEXT     prints a line; complain TEXT to stderr
//	result TEXT  is in the result file
//	exit CODE    ends; without it the task runs until it is cancelled
func newFakeTasks(t testing.TB, b *fakeBrain, done func(func())) *scheduler.Scheduler {
	t.Helper()
	st, err := store.Open(filepath.Join(t.TempDir(), "brain.db"))
	if err != nil {
		t.Fatal(err)
	}
	cell := app.Cell{ID: "cell-1", State: app.CellAlive, Capacity: app.Resources{MemoryMB: 1024, DiskMB: 1024, Containers: 10}}
	s, err := scheduler.New(scheduler.Config{
		Store: st, Domain: "lattice.test", Grace: time.Minute, Log: slog.New(slog.DiscardHandler),
		Members: func() ([]app.Cell, <-chan struct{}) { return []app.Cell{cell}, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var parts sync.WaitGroup
	parts.Go(func() { _ = s.Run(ctx) })
	p := player{brain: b, tasks: s, runs: map[string]*app.Instance{}}
	parts.Go(func() { p.run(ctx) })
	parts.Go(func() {
		for {
			select {
			case <-s.Changed():
			case <-ctx.Done():
				return
			}
			b.mu.Lock()
			b.touch()
			b.mu.Unlock()
		}
	})
	done(func() {
		cancel()
		parts.Wait()
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// A player is a cell for tasks.
type player struct {
	brain *fakeBrain
	tasks *scheduler.Scheduler
	runs  map[string]*app.Instance // by attempt
}

func (p *player) run(ctx context.Context) {
	for {
		changed := p.tasks.WorkChanged("cell-1")
		if w, err := p.tasks.Work("cell-1"); err == nil {
			p.obey(w)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// obey plays what is new, and stops what is no longer wanted.
func (p *player) obey(w app.Work) {
	for id := range p.runs {
		if !slices.ContainsFunc(w.Tasks, func(as app.Assignment) bool { return as.ID == id }) {
			delete(p.runs, id)
		}
	}
	for _, as := range w.Tasks {
		if p.runs[as.ID] == nil {
			p.runs[as.ID] = &app.Instance{ID: as.ID, App: as.App.Name, Cell: "cell-1", GUID: "g-" + as.ID, State: app.Running, Task: &app.TaskRun{StartedAt: time.Now().UTC()}}
			p.report()
			p.play(as)
		}
	}
	p.report()
}

func (p *player) report() {
	r := app.Report{Cell: "cell-1"}
	for _, in := range p.runs {
		r.Instances = append(r.Instances, *in)
	}
	_ = p.tasks.Report(r)
}

func (p *player) play(as app.Assignment) {
	in := *p.runs[as.ID]
	run := *in.Task
	in.Task = &run
	for i, word := range as.App.Command {
		switch next := append(as.App.Command, "")[i+1]; word {
		case "say", "complain":
			stream := app.Stdout
			if word == "complain" {
				stream = app.Stderr
			}
			run.LogLines++
			p.brain.mu.Lock()
			p.brain.addLine(as.App.Name, app.LogLine{GUID: in.GUID, Text: next, Stream: stream})
			p.brain.touch()
			p.brain.mu.Unlock()
		case "result":
			run.Result = next
		case "exit":
			code, _ := strconv.Atoi(next)
			in.State, run.EndedAt, run.ExitCode = app.Completed, time.Now().UTC(), &code
			if run.Failed = code != 0; run.Failed {
				in.Reason = "exited with code " + next
			}
		}
	}
	p.runs[as.ID] = &in
}
