package session

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"lattice/app"
)

const (
	maxAccepted = 128              // connections that wait, of all sessions that listen
	acceptTime  = 30 * time.Second // for how long
)

// A waiting connection came in for a session that listens.
type waiting struct {
	conn  net.Conn
	guid  string
	timer *time.Timer
}

// dial carries a connection into the container.
func (s *Server) dial(ctx context.Context, link app.Link, w app.Session) error {
	start, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	in, err := s.cfg.Runtime.Inside(start, w.GUID)
	if err != nil {
		return err
	}
	conn, err := s.cfg.Network.Dial(start, in, w.Request.Host, w.Request.Port)
	if err != nil {
		return err
	}
	return carry(link, conn)
}

// accept carries a connection that came in for a session that listens.
func (s *Server) accept(link app.Link, w app.Session) error {
	s.mu.Lock()
	found, ok := s.accepted[w.Request.Conn]
	if ok = ok && found.guid == w.GUID && found.timer.Stop(); ok {
		delete(s.accepted, w.Request.Conn)
	}
	s.mu.Unlock()
	if !ok {
		return errors.New("the connection is gone, or was taken already")
	}
	return carry(link, found.conn)
}

// carry copies both ways until both sides are done, or one breaks.
func carry(link app.Link, conn net.Conn) error {
	defer conn.Close()
	if err := app.SendControl(link, app.SessionControl{Opened: &app.SessionOpening{}}); err != nil {
		return err
	}
	var back sync.WaitGroup
	back.Go(func() {
		if !deliver(link, conn) {
			conn.Close() // the other direction ends, too
		}
	})
	err := send(link, app.ChanOut, conn)
	if err != nil {
		conn.Close()
		link.Abort()
	}
	back.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// deliver copies what comes over the link to the connection, and returns true
// when that came to a good end.
func deliver(link app.Link, conn net.Conn) bool {
	for {
		ch, data, err := link.Receive()
		switch {
		case err != nil:
			return false
		case ch != app.ChanIn:
		case len(data) == 0:
			if half, ok := conn.(interface{ CloseWrite() error }); ok {
				return half.CloseWrite() == nil
			}
			return false
		default:
			if _, err := conn.Write(data); err != nil {
				return false
			}
		}
	}
}

// listen tells of each connection that comes, until the link breaks or the
// container ends.
func (s *Server) listen(ctx context.Context, link app.Link, w app.Session) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	in, err := s.cfg.Runtime.Inside(ctx, w.GUID)
	if err != nil {
		return err
	}
	ln, err := s.cfg.Network.Listen(ctx, in, w.Request.Host, w.Request.Port)
	if err != nil {
		return fmt.Errorf("listen inside the instance: %w", err)
	}
	defer context.AfterFunc(ctx, func() { ln.Close() })()
	defer ln.Close()
	go func() { // until the link breaks
		for {
			if _, _, err := link.Receive(); err != nil {
				cancel(io.EOF)
				return
			}
		}
	}()
	go func() {
		if _, err := s.cfg.Runtime.Wait(ctx, w.GUID); ctx.Err() == nil {
			cancel(errors.Join(errors.New("the instance has ended"), err))
		}
	}()
	port := ln.Addr().(*net.TCPAddr).Port
	if err := app.SendControl(link, app.SessionControl{Opened: &app.SessionOpening{Port: port}}); err != nil {
		return err
	}
	for {
		conn, err := ln.Accept()
		if err != nil {
			return context.Cause(ctx)
		}
		if err := s.offer(link, w.GUID, conn); err != nil {
			return err
		}
	}
}

// offer keeps a connection for a while, and tells of it. Where too many wait it
// is closed.
func (s *Server) offer(link app.Link, guid string, conn net.Conn) error {
	id := rand.Text()
	s.mu.Lock()
	if len(s.accepted) >= maxAccepted {
		s.mu.Unlock()
		s.cfg.Log.Warn("a connection is closed: too many wait for their sessions", "guid", guid)
		return conn.Close()
	}
	s.accepted[id] = waiting{conn, guid, time.AfterFunc(acceptTime, func() { s.drop(id) })}
	s.mu.Unlock()
	return app.SendControl(link, app.SessionControl{Accepted: &app.SessionAccepted{Conn: id, From: conn.RemoteAddr().String()}})
}

func (s *Server) drop(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if found, ok := s.accepted[id]; ok {
		found.conn.Close()
		delete(s.accepted, id)
	}
}
