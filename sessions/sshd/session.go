package sshd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	"golang.org/x/crypto/ssh"

	"lattice/app"
)

// The payloads of requests, RFC 4254.
type (
	ptyRequest struct {
		Term                   string
		Cols, Rows, Wide, Tall uint32
		Modes                  string
	}
	windowChange struct{ Cols, Rows, Wide, Tall uint32 }
	envRequest   struct{ Name, Value string }
	textRequest  struct{ Text string } // exec, subsystem and signal
	exitStatus   struct{ Code uint32 }
)

// A session is a channel in which a program runs, or will.
type session struct {
	client *client
	ch     ssh.Channel

	request app.SessionRequest // as far as it was made

	mu   sync.Mutex // guards what follows
	link app.Link   // nil: not yet
	size app.TerminalSize
}

// session serves a channel until its program has ended or the client has closed
// it.
func (c *client) session(ctx context.Context, n ssh.NewChannel) {
	ch, requests, err := n.Accept()
	if err != nil {
		return // the client is gone
	}
	defer ch.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(errors.New("the client left"))
	s := &session{client: c, ch: ch}
	var program sync.WaitGroup
	for r := range requests { // ends with the channel
		ok, start := s.take(r)
		if r.WantReply {
			_ = r.Reply(ok, nil) // else the client is gone
		}
		if ok && start {
			request := s.request
			program.Go(func() { s.run(ctx, request) })
		}
	}
	cancel(errors.New("the client left"))
	program.Wait()
}

// take does what a request asks for. start says that the program shall start.
func (s *session) take(r *ssh.Request) (ok, start bool) {
	s.mu.Lock()
	link := s.link
	s.mu.Unlock()
	begun := s.request.Kind != ""
	switch r.Type {
	case "pty-req":
		var p ptyRequest
		if begun || ssh.Unmarshal(r.Payload, &p) != nil {
			return false, false
		}
		s.request.TTY, s.request.Term, s.request.Size = true, p.Term, size(p.Cols, p.Rows)
		s.resize(s.request.Size)
	case "env":
		var e envRequest
		if begun || ssh.Unmarshal(r.Payload, &e) != nil || len(s.request.Env) >= app.MaxSessionArgs {
			return false, false
		}
		s.request.Env = append(s.request.Env, e.Name+"="+e.Value)
	case "window-change":
		var w windowChange
		if ssh.Unmarshal(r.Payload, &w) != nil {
			return false, false
		}
		s.resize(size(w.Cols, w.Rows))
	case "signal":
		var t textRequest
		return link != nil && ssh.Unmarshal(r.Payload, &t) == nil && app.SendControl(link, app.SessionControl{Signal: t.Text}) == nil, false
	case "shell", "exec", "subsystem":
		if begun {
			return false, false
		}
		return s.program(r), true
	default:
		return false, false
	}
	return true, false
}

// program notes what to run.
func (s *session) program(r *ssh.Request) bool {
	var t textRequest
	if r.Type != "shell" && ssh.Unmarshal(r.Payload, &t) != nil {
		return false
	}
	s.request.Kind, s.request.Line = app.SessionShell, t.Text
	if r.Type == "subsystem" {
		if t.Text != "sftp" {
			s.request.Kind = ""
			return false
		}
		s.request.Kind, s.request.Line, s.request.TTY = app.SessionSFTP, "", false
	}
	return true
}

func size(cols, rows uint32) app.TerminalSize {
	return app.TerminalSize{Cols: int(min(cols, app.MaxTerminal)), Rows: int(min(rows, app.MaxTerminal))}
}

// resize tells of a new size, as soon as there is somebody to tell.
func (s *session) resize(now app.TerminalSize) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.size = now; s.link != nil {
		_ = app.SendControl(s.link, app.SessionControl{Resize: &now}) // else Receive fails, too
	}
}

// began notes the link; the terminal may have another size by now.
func (s *session) began(link app.Link, told app.TerminalSize) {
	s.mu.Lock()
	s.link = link
	now := s.size
	s.mu.Unlock()
	if now != told {
		s.resize(now)
	}
}

// run runs the program to its end.
func (s *session) run(ctx context.Context, request app.SessionRequest) {
	end := app.SessionEnd{Code: app.SessionBroken}
	link, err := s.client.begin(ctx, request)
	if err == nil {
		s.began(link, request.Size)
		end, err = s.carry(link)
		_ = link.Close() // it has ended
	}
	if err != nil {
		end.Reason = err.Error()
	}
	if end.Reason != "" {
		fmt.Fprintf(s.ch.Stderr(), "lattice: %s\r\n", end.Reason)
	}
	// A client that is gone doesn't want to know.
	_ = s.ch.CloseWrite()
	_, _ = s.ch.SendRequest("exit-status", false, ssh.Marshal(exitStatus{uint32(end.Code)}))
	_ = s.ch.Close()
}

// carry copies both ways until the program has ended.
func (s *session) carry(link app.Link) (app.SessionEnd, error) {
	go func() { // ends with the channel
		buf := make([]byte, app.MaxFrame)
		for {
			n, err := s.ch.Read(buf)
			if n > 0 && link.Send(app.ChanIn, buf[:n]) != nil {
				return
			}
			if err == io.EOF {
				_ = link.Send(app.ChanIn, nil) // else Receive fails, too
			}
			if err != nil {
				return
			}
		}
	}()
	for {
		ch, data, err := link.Receive()
		if err != nil {
			return app.SessionEnd{Code: app.SessionBroken}, err
		}
		switch ch {
		case app.ChanOut:
			_, err = s.ch.Write(data)
		case app.ChanErr:
			_, err = s.ch.Stderr().Write(data)
		case app.ChanEnd:
			var end app.SessionEnd
			if err := json.Unmarshal(data, &end); err != nil {
				return app.SessionEnd{Code: app.SessionBroken}, err
			}
			return end, nil
		}
		if err != nil {
			link.Abort()
			return app.SessionEnd{Code: app.SessionBroken}, err
		}
	}
}
