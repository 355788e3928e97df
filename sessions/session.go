package sessions

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"lattice/app"
)

// A Session is the link to a cell, and an account of what went over it.
type Session struct {
	broker *Broker
	order  app.SessionOrder
	id     string
	began  time.Time
	quiet  bool // it is not told of

	ctx     context.Context // ends when the session must
	cancel  context.CancelCauseFunc
	unwatch func() bool
	timer   *time.Timer

	taken  chan struct{} // closed when link is set
	link   app.Link      // broker.mu guards its setting
	closed chan struct{} // closed by Close
	once   sync.Once

	mu   sync.Mutex // guards what follows
	last *app.SessionEnd
}

// end ends the session; why is what both sides are told.
func (s *Session) end(why error) {
	s.cancel(why)
	select {
	case <-s.taken:
		s.link.Abort()
	default:
	}
}

// Receive returns the next frame from the instance. When the session was ended,
// the error says why.
func (s *Session) Receive() (app.Channel, []byte, error) {
	ch, data, err := s.link.Receive()
	switch {
	case s.ctx.Err() != nil:
		return 0, nil, context.Cause(s.ctx)
	case err != nil:
		return 0, nil, fmt.Errorf("the cell %s was lost in mid-session: %w", s.order.Place.Cell, app.ErrUnavailable)
	case ch == app.ChanEnd:
		var e app.SessionEnd
		if err := json.Unmarshal(data, &e); err != nil {
			return 0, nil, fmt.Errorf("read the end of the session: %w", err)
		}
		s.note(e)
	}
	return ch, data, nil
}

func (s *Session) note(e app.SessionEnd) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last == nil {
		s.last = &e
	}
}

// Send sends a frame to the instance.
func (s *Session) Send(ch app.Channel, data []byte) error {
	if err := s.link.Send(ch, data); err != nil {
		return errors.Join(err, context.Cause(s.ctx))
	}
	return nil
}

// Close ends the session; the program that runs in it is killed if it hasn't
// ended.
func (s *Session) Close() error {
	s.once.Do(s.finish)
	return nil
}

// Abort is Close.
func (s *Session) Abort() { s.once.Do(s.finish) }

func (s *Session) finish() {
	s.mu.Lock()
	last := s.last
	s.mu.Unlock()
	s.unwatch()
	s.timer.Stop()
	select {
	case <-s.taken:
		if last == nil {
			s.link.Abort()
		} else if err := s.link.Close(); err != nil {
			s.link.Abort()
		}
		s.broker.emit(app.SessionClosed, s, s.account(last))
	default:
	}
	s.cancel(errors.New("the session is over"))
	b := s.broker
	b.mu.Lock()
	delete(b.open, s.id)
	b.mu.Unlock()
	close(s.closed)
	b.ended.Done()
}

// account says in a sentence how it was.
func (s *Session) account(last *app.SessionEnd) string {
	text := s.order.Request.Title() + ", after " + time.Since(s.began).Round(time.Millisecond).String() + ": "
	switch why := context.Cause(s.ctx); {
	case last != nil && last.Reason != "":
		return text + last.Reason
	case last != nil:
		return text + fmt.Sprintf("exit code %d", last.Code)
	case why != nil:
		return text + why.Error()
	}
	return text + "the other side left"
}
