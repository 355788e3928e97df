package scheduler

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"lattice/app"
)

// forgetful is a Store that keeps nothing, so that only the scheduler is measured.
type forgetful struct{}

func (forgetful) ID() string                 { return "store" }
func (forgetful) Load() (app.Desired, error) { return app.Desired{}, nil }
func (forgetful) Commit(app.Change) error    { return nil }

// large is a Scheduler with a thousand cells whose instances all run.
type large struct {
	*Scheduler
	cells   []app.Cell
	reports map[string]app.Report
	feed    *Feed
}

func newLarge(b testing.TB, apps, each int) *large {
	l := &large{reports: map[string]app.Report{}}
	for i := range 1000 {
		l.cells = append(l.cells, app.Cell{ID: fmt.Sprintf("cell-%04d", i), Zone: fmt.Sprint("z", i%4), State: app.CellAlive,
			Capacity: app.Resources{MemoryMB: 64 << 10, DiskMB: 1 << 20, Containers: 600}})
	}
	changed := make(chan struct{})
	s, err := New(Config{Store: forgetful{}, Members: func() ([]app.Cell, <-chan struct{}) { return l.cells, changed }, Grace: time.Minute,
		Choose: Options{MaxStartsPerCell: 64}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	l.Scheduler, l.feed = s, s.NewFeed()
	for i := range apps {
		if _, err := s.Create(context.Background(), app.App{Name: fmt.Sprintf("app-%05d", i), Image: "img", Instances: each, MemoryMB: 128}.WithDefaults()); err != nil {
			b.Fatal(err)
		}
	}
	for placed := -1; placed != len(s.placements); {
		placed = len(s.placements)
		l.plan(b)
		for _, c := range l.cells {
			l.obey(b, c.ID)
		}
	}
	if len(s.placements) != apps*each {
		b.Fatal(len(s.placements))
	}
	l.plan(b)
	return l
}

func (l *large) plan(b testing.TB) {
	if err := l.round(l.cells); err != nil {
		b.Fatal(err)
	}
	l.feed.Next()
}

// obey reports all that a cell shall run as running.
func (l *large) obey(b testing.TB, cell string) {
	w, err := l.Work(cell)
	if err != nil {
		b.Fatal(err)
	}
	r := app.Report{Cell: cell}
	for _, as := range w.Assigned {
		r.Instances = append(r.Instances, app.Instance{ID: as.ID, App: as.App.Name, Index: as.Index, Cell: cell, State: app.Running, Revision: 1})
	}
	l.reports[cell] = r
	if err := l.Report(r); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkReport is one report of a cell in which an instance has crashed or
// come back, with the plan and the news for routers that come of it.
func BenchmarkReport(b *testing.B) {
	for _, apps := range []int{500, 2500} {
		b.Run(fmt.Sprint(20*apps), func(b *testing.B) {
			l := newLarge(b, apps, 20)
			for b.Loop() {
				cell := l.cells[rand.IntN(len(l.cells))].ID
				r := l.reports[cell]
				r.Instances = append([]app.Instance(nil), r.Instances...)
				if in := &r.Instances[rand.IntN(len(r.Instances))]; in.State == app.Running {
					in.State, in.Crashes = app.Crashed, in.Crashes+1
				} else {
					in.State = app.Running
				}
				l.reports[cell] = r
				if err := l.Report(r); err != nil {
					b.Fatal(err)
				}
				l.plan(b)
			}
		})
	}
}

// BenchmarkDeploy is 50,000 instances from nothing until all are reported.
func BenchmarkDeploy(b *testing.B) {
	for b.Loop() {
		newLarge(b, 2500, 20)
	}
}
