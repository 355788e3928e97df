// Package session is the cell's side of sessions: it learns from the brain which
// are wanted, connects back for each, and does inside the container what was
// asked for: runs a program, carries a connection, listens. A session ends with
// its connection, whichever side it is that goes.
package session

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"lattice/app"
	"lattice/cells"
)

// Brain is what a Server needs of the brain.
type Brain interface {
	// Sessions calls fn with all sessions that wait for the cell, at once and
	// at each change, until ctx is done or the connection breaks.
	Sessions(ctx context.Context, cell string, fn func([]app.Session) error) error
	// Attend connects to one of them. It is app.ErrNotFound when nobody waits
	// for it any more.
	Attend(ctx context.Context, cell, id string) (app.Link, error)
}

// Runtime starts programs in containers.
type Runtime interface {
	Open(ctx context.Context, guid string, cmd cells.Command) (cells.Process, error)
	Inside(ctx context.Context, guid string) (cells.Inside, error)
	Wait(ctx context.Context, guid string) (cells.Exit, error)
}

// Network connects as programs in a container would.
type Network interface {
	Dial(ctx context.Context, in cells.Inside, host string, port int) (net.Conn, error)
	Listen(ctx context.Context, in cells.Inside, host string, port int) (net.Listener, error)
}

// Config of a Server. All fields are needed.
type Config struct {
	Cell    string
	Brain   Brain
	Runtime Runtime
	Network Network
	Log     *slog.Logger
}

const (
	maxSessions  = 512
	startTimeout = 30 * time.Second // for a program to be started, a connection to be made
	firstRetry   = 100 * time.Millisecond
	lastRetry    = 3 * time.Second
)

// A Server attends to the sessions of one cell.
type Server struct {
	cfg Config

	mu       sync.Mutex // guards what follows
	known    map[string]bool
	accepted map[string]waiting // connections that nobody has asked for yet
	running  sync.WaitGroup
}

// New returns a Server. It touches nothing before Run.
func New(cfg Config) *Server {
	return &Server{cfg: cfg, known: map[string]bool{}, accepted: map[string]waiting{}}
}

// Run works until ctx is done, and then ends the sessions that are open.
func (s *Server) Run(ctx context.Context) error {
	defer s.running.Wait()
	pause := firstRetry
	for ctx.Err() == nil {
		err := s.cfg.Brain.Sessions(ctx, s.cfg.Cell, func(wanted []app.Session) error {
			pause = firstRetry
			s.take(ctx, wanted)
			return nil
		})
		s.cfg.Log.Debug("lost the brain's word on sessions", "err", err)
		select {
		case <-ctx.Done():
		case <-time.After(pause/2 + rand.N(pause)):
		}
		pause = min(2*pause, lastRetry)
	}
	return nil
}

// take begins those sessions that are new. One that there is no room for waits
// until the brain gives it up, or others end.
func (s *Server) take(ctx context.Context, wanted []app.Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range wanted {
		switch {
		case s.known[w.ID]:
			continue
		case len(s.known) >= maxSessions:
			s.cfg.Log.Warn("a session has to wait: too many are open", "app", w.App)
			return
		}
		s.known[w.ID] = true
		s.running.Go(func() {
			s.attend(ctx, w)
			s.mu.Lock()
			defer s.mu.Unlock()
			delete(s.known, w.ID)
		})
	}
}

// attend leads a session from its begin to its end.
func (s *Server) attend(life context.Context, w app.Session) {
	link, err := s.cfg.Brain.Attend(life, s.cfg.Cell, w.ID)
	if err != nil {
		s.cfg.Log.Debug("session not begun", "app", w.App, "err", err)
		return
	}
	defer context.AfterFunc(life, link.Abort)()
	end := s.run(life, link, w)
	if err := app.SendEnd(link, end); err != nil {
		s.cfg.Log.Debug("the end of a session was not told", "app", w.App, "err", err)
	}
	if err := link.Close(); err != nil {
		s.cfg.Log.Debug("session not closed in good order", "app", w.App, "err", err)
	}
}

func (s *Server) run(ctx context.Context, link app.Link, w app.Session) app.SessionEnd {
	var err error
	switch r := w.Request; r.Kind {
	case app.SessionDial:
		err = s.dial(ctx, link, w)
	case app.SessionListen:
		err = s.listen(ctx, link, w)
	case app.SessionAccept:
		err = s.accept(link, w)
	default:
		return s.exec(ctx, link, w)
	}
	if err != nil {
		return app.SessionEnd{Code: app.SessionBroken, Reason: err.Error()}
	}
	return app.SessionEnd{}
}

// send copies r to the channel of the link, and its end.
func send(link app.Link, ch app.Channel, r io.Reader) error {
	buf := make([]byte, app.MaxFrame)
	for {
		n, err := r.Read(buf)
		if n > 0 {
			if err := link.Send(ch, buf[:n]); err != nil {
				return err
			}
		}
		if err != nil {
			if err := link.Send(ch, nil); err != nil {
				return err
			}
			if err == io.EOF {
				return nil
			}
			return fmt.Errorf("read what the instance sends: %w", err)
		}
	}
}
