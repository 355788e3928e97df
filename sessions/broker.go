// Package sessions is the brain's side of sessions in containers: it tells a
// cell which are wanted of it, brings the two ends together, ends what must not
// go on, and writes down who did what. It knows no network: the links are given
// to it. A Broker is safe for concurrent use.
package sessions

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"lattice/app"
)

const (
	maxOpen   = 1000
	openTime  = 15 * time.Second // for the cell to come
	maxLength = 24 * time.Hour
)

// Config of a Broker. All fields are needed but Emit.
type Config struct {
	// Cells returns all cells; Changed a channel that is closed at the next
	// change of that. Get it before you call Cells.
	Cells   func() []app.Cell
	Changed func() <-chan struct{}
	Emit    func(app.Event) // nil: nobody listens
	Log     *slog.Logger
}

// A Broker has the sessions that are open.
type Broker struct {
	cfg Config

	mu      sync.Mutex // guards what follows
	open    map[string]*Session
	changed map[string]chan struct{} // by cell: closed at the next change of Wanted
	closing error                    // not nil: no more sessions
	told    map[string]time.Time     // connections of late, by what they have in common
	ended   sync.WaitGroup
}

// New returns a Broker.
func New(cfg Config) *Broker {
	return &Broker{cfg: cfg, open: map[string]*Session{}, changed: map[string]chan struct{}{}, told: map[string]time.Time{}}
}

// Errors that end sessions.
var (
	errStopping = fmt.Errorf("the brain is stopping: %w", app.ErrUnavailable)
	errLong     = fmt.Errorf("a session may last %v, which are over: open another one", maxLength)
)

// Run ends the sessions of cells that have died, until ctx is done; then it ends
// all.
func (b *Broker) Run(ctx context.Context) error {
	defer b.stop()
	for {
		changed := b.cfg.Changed()
		b.endOfDead()
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
	}
}

func (b *Broker) stop() {
	b.mu.Lock()
	b.closing = errStopping
	for _, s := range b.open {
		s.end(errStopping)
	}
	b.mu.Unlock()
	b.ended.Wait()
}

func (b *Broker) endOfDead() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.open) == 0 {
		return
	}
	alive := map[string]bool{}
	for _, c := range b.cfg.Cells() {
		alive[c.ID] = c.State != app.CellDead
	}
	for _, s := range b.open {
		if !alive[s.order.Place.Cell] {
			s.end(fmt.Errorf("the cell %s is gone, and with it the session: %w", s.order.Place.Cell, app.ErrUnavailable))
		}
	}
}

// Open returns a session when its cell has come for it. It ends with in, whose
// cause says why. The caller must Close it.
func (b *Broker) Open(ctx, in context.Context, o app.SessionOrder) (*Session, error) {
	s, err := b.add(in, o)
	if err != nil {
		return nil, err
	}
	late := time.NewTimer(openTime)
	defer late.Stop()
	select {
	case <-s.taken:
	case <-s.ctx.Done():
		err = context.Cause(s.ctx)
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-late.C:
		err = fmt.Errorf("the cell %s, which runs %s, did not come for the session within %v: is it overloaded, or of an older version? %w", o.Place.Cell, o.Place, openTime, app.ErrUnavailable)
	}
	if err != nil && b.giveUp(s, err) {
		return nil, err
	}
	s.quiet = o.Quiet || b.toldOfLate(o, time.Now())
	b.emit(app.SessionOpened, s, o.Request.Title())
	return s, nil
}

// toldOfLate reports whether a connection like this one was told of in the last
// minute: a browser makes many, and would leave no room for other news.
func (b *Broker) toldOfLate(o app.SessionOrder, now time.Time) bool {
	if o.Request.Kind != app.SessionDial && o.Request.Kind != app.SessionAccept {
		return false
	}
	key := strings.Join([]string{o.Actor, o.Place.GUID, o.Request.Title()}, " ")
	b.mu.Lock()
	defer b.mu.Unlock()
	maps.DeleteFunc(b.told, func(_ string, at time.Time) bool { return now.Sub(at) > time.Minute })
	_, ok := b.told[key]
	if !ok && len(b.told) < maxOpen {
		b.told[key] = now
	}
	return ok
}

func (b *Broker) add(in context.Context, o app.SessionOrder) (*Session, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closing != nil {
		return nil, b.closing
	}
	if len(b.open) >= maxOpen {
		return nil, fmt.Errorf("%d sessions are open, and more are not possible: %w", maxOpen, app.ErrUnavailable)
	}
	if err := context.Cause(in); err != nil {
		return nil, err
	}
	s := &Session{broker: b, order: o, id: rand.Text(), began: time.Now(), taken: make(chan struct{}), closed: make(chan struct{})}
	s.ctx, s.cancel = context.WithCancelCause(context.WithoutCancel(in))
	s.unwatch = context.AfterFunc(in, func() { s.end(context.Cause(in)) })
	s.timer = time.AfterFunc(maxLength, func() { s.end(errLong) })
	b.open[s.id] = s
	b.ended.Add(1)
	b.announce(o.Place.Cell)
	return s, nil
}

// announce says that Wanted has changed; mu is held.
func (b *Broker) announce(cell string) {
	if c, ok := b.changed[cell]; ok {
		close(c)
		delete(b.changed, cell)
	}
}

// giveUp forgets a session that nobody came for, and returns true; false if
// somebody did.
func (b *Broker) giveUp(s *Session, err error) bool {
	b.mu.Lock()
	if s.link != nil {
		b.mu.Unlock()
		return false
	}
	s.cancel(err)
	b.announce(s.order.Place.Cell)
	b.mu.Unlock()
	s.Close()
	return true
}

// Wanted returns the sessions that wait for the cell, by ID.
func (b *Broker) Wanted(cell string) []app.Session {
	b.mu.Lock()
	defer b.mu.Unlock()
	wanted := []app.Session{}
	for _, id := range slices.Sorted(maps.Keys(b.open)) {
		if s := b.open[id]; s.link == nil && s.order.Place.Cell == cell && s.ctx.Err() == nil {
			wanted = append(wanted, app.Session{ID: id, App: s.order.Place.App, GUID: s.order.Place.GUID, Request: s.order.Request})
		}
	}
	return wanted
}

// WantedChanged returns a channel that is closed at the next change of Wanted,
// or earlier.
func (b *Broker) WantedChanged(cell string) <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	c, ok := b.changed[cell]
	if !ok {
		c = make(chan struct{})
		b.changed[cell] = c
	}
	return c
}

// Waits is app.ErrNotFound unless the session waits for the cell.
func (b *Broker) Waits(cell, id string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s, ok := b.open[id]; ok && s.link == nil && s.order.Place.Cell == cell && s.ctx.Err() == nil {
		return nil
	}
	return fmt.Errorf("nobody waits for this session: %w", app.ErrNotFound)
}

// Attend gives the session its link to the cell, and returns when the session
// is over. in ends it; its cause says why.
func (b *Broker) Attend(in context.Context, cell, id string, link app.Link) error {
	b.mu.Lock()
	s, ok := b.open[id]
	if !ok || s.link != nil || s.order.Place.Cell != cell || s.ctx.Err() != nil {
		b.mu.Unlock()
		link.Abort()
		return fmt.Errorf("nobody waits for this session: %w", app.ErrNotFound)
	}
	s.link = link
	close(s.taken)
	b.announce(cell)
	b.mu.Unlock()
	if s.ctx.Err() != nil { // it was ended just now, and who did that saw no link
		link.Abort()
	}
	defer context.AfterFunc(in, func() { s.end(context.Cause(in)) })()
	<-s.closed
	return nil
}

func (b *Broker) emit(kind string, s *Session, message string) {
	o := s.order
	e := app.Event{Kind: kind, App: o.Place.App, Cell: o.Place.Cell, Instance: o.Place.ID, Index: o.Place.Index, GUID: o.Place.GUID, Actor: o.Actor, Message: message}
	if o.Place.Task {
		e.App, e.Task = "", o.Place.App
	}
	if s.quiet {
		b.cfg.Log.Debug(kind, "app", o.Place.String(), "cell", o.Place.Cell, "user", o.Actor, "reason", message)
		return
	}
	b.cfg.Log.Info(kind, "app", o.Place.String(), "cell", o.Place.Cell, "user", o.Actor, "reason", message)
	if b.cfg.Emit != nil {
		b.cfg.Emit(e)
	}
}
