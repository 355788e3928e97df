package session

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"sync"

	"lattice/app"
	"lattice/cells"
)

// exec runs a program to its end, or until the link breaks.
func (s *Server) exec(ctx context.Context, link app.Link, w app.Session) app.SessionEnd {
	start, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	p, err := s.cfg.Runtime.Open(start, w.GUID, command(w.Request))
	if err != nil {
		return notStarted(err)
	}
	defer s.running.Go(func() { // its end is told first: children that still print can make this long
		if err := p.Close(); err != nil {
			s.cfg.Log.Warn("session not cleaned up", "app", w.App, "err", err)
		}
	})
	if err := app.SendControl(link, app.SessionControl{Opened: &app.SessionOpening{}}); err != nil {
		return app.SessionEnd{Code: app.SessionBroken, Reason: err.Error()}
	}
	broken := make(chan struct{})
	go func() {
		defer close(broken)
		obey(link, p, w.Request.TTY)
	}()
	// When the link breaks nobody reads any more, and the program must end.
	over := make(chan struct{})
	defer close(over)
	go func() {
		select {
		case <-broken:
			p.Close()
		case <-over:
		}
	}()
	var out sync.WaitGroup
	for ch, r := range map[app.Channel]io.Reader{app.ChanOut: p.Stdout(), app.ChanErr: p.Stderr()} {
		out.Go(func() {
			if send(link, ch, r) != nil {
				link.Abort() // which ends obey, and that the program
			}
		})
	}
	out.Wait()
	code, err := p.Wait()
	if err != nil {
		return app.SessionEnd{Code: app.SessionBroken, Reason: err.Error()}
	}
	return app.SessionEnd{Code: code}
}

// command says what to run.
func command(r app.SessionRequest) cells.Command {
	c := cells.Command{Args: r.Command, Env: r.Env, TTY: r.TTY, Size: r.Size, Helper: r.Kind != app.SessionExec}
	if r.TTY && r.Term != "" {
		c.Env = append(c.Env, "TERM="+r.Term)
	}
	switch r.Kind {
	case app.SessionShell:
		if c.Args = []string{"shell"}; r.Line != "" {
			c.Args = append(c.Args, r.Line)
		}
	case app.SessionSFTP:
		c.Args = []string{"sftp"}
	case app.SessionRead:
		c.Args = []string{"read", r.Path}
	case app.SessionWrite:
		if c.Args = []string{"write", r.Path}; r.Owners {
			c.Args = []string{"write", "-owners", r.Path}
		}
	}
	return c
}

// Exit codes of what could not be started, as shells have them.
const (
	codeNotExecutable = 126
	codeNoProgram     = 127
)

func notStarted(err error) app.SessionEnd {
	end := app.SessionEnd{Code: app.SessionBroken, Reason: err.Error()}
	if errors.Is(err, cells.ErrCommand) {
		end.Code = codeNoProgram
		end.Reason = strings.TrimPrefix(end.Reason, "start command: ")
		if strings.Contains(end.Reason, "not executable") || strings.Contains(end.Reason, "is a folder") {
			end.Code = codeNotExecutable
		}
	}
	return end
}

// endOfText is what the end of the input is to a terminal.
const endOfText = "\x04"

// obey does what comes over the link until it breaks.
func obey(link app.Link, p cells.Process, tty bool) {
	in := p.Stdin()
	for {
		ch, data, err := link.Receive()
		switch {
		case err != nil:
			return
		case ch == app.ChanIn && len(data) == 0 && tty:
			_, err = io.WriteString(in, endOfText)
		case ch == app.ChanIn && len(data) == 0:
			err = in.Close()
		case ch == app.ChanIn:
			_, err = in.Write(data) // fails when the program doesn't read any more, which is its business
		case ch == app.ChanControl:
			control(data, p)
		}
		_ = err
	}
}

func control(data []byte, p cells.Process) {
	var c app.SessionControl
	if json.Unmarshal(data, &c) != nil {
		return // of a newer brain
	}
	// That the program has just ended is nobody's fault.
	if c.Resize != nil {
		_ = p.Resize(*c.Resize)
	}
	if c.Signal != "" {
		_ = p.Signal(c.Signal)
	}
}
