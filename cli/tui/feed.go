package tui

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"lattice/api"
	"lattice/app"
)

// retryPause is the pause before a stream that broke is opened again.
const retryPause = time.Second

// A Source tells what there is, as api.Client does.
type Source interface {
	WatchApps(ctx context.Context, fn func([]app.Status) error) error
	WatchCells(ctx context.Context, fn func([]api.CellStatus) error) error
}

// What a feed sends to a view.
type (
	appsMsg   []app.Status
	cellsMsg  []api.CellStatus
	brokenMsg struct{ err error } // a stream broke and will be opened again
	fatalMsg  struct{ err error } // it makes no sense to go on
)

// show runs the view until the user quits or ctx ends.
func show(ctx context.Context, src Source, view tea.Model, in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	p := tea.NewProgram(view, tea.WithContext(ctx), tea.WithInput(in), tea.WithOutput(out), tea.WithAltScreen(), tea.WithoutSignalHandler())
	var streams sync.WaitGroup
	streams.Go(func() {
		keep(ctx, p, func() error {
			return src.WatchApps(ctx, func(s []app.Status) error { p.Send(appsMsg(s)); return nil })
		})
	})
	streams.Go(func() {
		keep(ctx, p, func() error {
			return src.WatchCells(ctx, func(c []api.CellStatus) error { p.Send(cellsMsg(c)); return nil })
		})
	})
	last, err := p.Run()
	cancel()
	streams.Wait()
	if v, ok := last.(interface{ fatal() error }); ok && v.fatal() != nil {
		return v.fatal()
	}
	if errors.Is(err, tea.ErrProgramKilled) {
		return context.Canceled
	}
	return err
}

// keep opens a stream again and again until ctx ends.
func keep(ctx context.Context, p *tea.Program, stream func() error) {
	for {
		err := stream()
		if ctx.Err() != nil {
			return
		}
		if !errors.Is(err, app.ErrUnavailable) {
			p.Send(fatalMsg{err})
			return
		}
		p.Send(brokenMsg{err})
		select {
		case <-ctx.Done():
			return
		case <-time.After(retryPause):
		}
	}
}
