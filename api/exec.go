package api

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"lattice/app"
)

// Execs opens sessions in containers. All methods may be called concurrently.
type Execs interface {
	// Find returns where an instance of the app runs, for app.NoIndex any;
	// FindTask where the task runs. It is ErrConflict when it doesn't.
	Find(app string, index int) (app.SessionPlace, error)
	FindTask(name string) (app.SessionPlace, error)

	// Open returns the link to the cell when the session has begun there. It
	// ends with in; the error of Receive says why.
	Open(ctx, in context.Context, o app.SessionOrder) (app.Link, error)

	// Wanted returns the sessions that wait for the cell; WantedChanged a
	// channel that is closed at the next change of that, or earlier.
	Wanted(cell string) []app.Session
	WantedChanged(cell string) <-chan struct{}

	// Waits is ErrNotFound unless the session waits for the cell. Attend gives
	// it its link, and returns when it is over; it ends with in.
	Waits(cell, id string) error
	Attend(in context.Context, cell, id string, l app.Link) error
}

// requestTime is how long a client may take to say what it wants of a session.
const requestTime = 15 * time.Second

func (s *server) execApp(c *gin.Context) {
	index := app.NoIndex
	if text, ok := c.GetQuery("index"); ok {
		n, err := strconv.ParseUint(text, 10, 31)
		if err != nil {
			s.fail(c, app.Invalid("index=%.40q in the address must be a number from 0 on", text))
			return
		}
		index = int(n)
	}
	place, err := s.cfg.Execs.Find(c.Param("name"), index)
	s.exec(c, place, err)
}

func (s *server) execTask(c *gin.Context) {
	place, err := s.cfg.Execs.FindTask(c.Param("name"))
	s.exec(c, place, err)
}

// exec leads a session. From when the link is there, all errors go over it: a
// browser does not see others.
func (s *server) exec(c *gin.Context, place app.SessionPlace, err error) {
	if err != nil {
		s.fail(c, err)
		return
	}
	in, release := s.during(c)
	defer release()
	client, err := accept(c.Writer, c.Request, 0)
	if err != nil {
		c.Abort() // it was answered
		return
	}
	defer client.Abort()
	o := app.SessionOrder{Actor: callerOf(c).Name, Place: place}
	if o.Request, err = s.request(client); err == nil {
		var cell app.Link
		if cell, err = s.cfg.Execs.Open(in, in, o); err == nil {
			join(client, cell)
			return
		}
	}
	if app.SendEnd(client, broken(err)) == nil {
		_ = client.Close() // a client that is gone doesn't want to know
	}
}

// during returns a context that ends when who makes the request isn't welcome
// any more, or the server stops. That of the request says nothing once it was
// made a link.
func (s *server) during(c *gin.Context) (in context.Context, release func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	stopped := context.AfterFunc(s.cfg.Done, func() { cancel(errStopping) })
	who := caller(c)
	left := context.AfterFunc(who, func() { cancel(context.Cause(who)) })
	return ctx, func() {
		stopped()
		left()
		cancel(nil)
	}
}

// request reads what the client wants.
func (s *server) request(client *socket) (app.SessionRequest, error) {
	late := time.AfterFunc(requestTime, client.Abort)
	defer late.Stop()
	ch, data, err := client.Receive()
	if err != nil {
		return app.SessionRequest{}, err
	}
	if ch != app.ChanControl {
		return app.SessionRequest{}, app.Invalid("the first frame of a session must be its request, on channel %d", app.ChanControl)
	}
	return app.ParseSessionRequest(data)
}

func broken(err error) app.SessionEnd {
	return app.SessionEnd{Code: app.SessionBroken, Reason: err.Error()}
}

// join copies both ways until the session ends or the client goes.
func join(client, cell app.Link) {
	var up sync.WaitGroup
	up.Go(func() {
		for {
			ch, data, err := client.Receive()
			if err == nil && (ch == app.ChanIn || ch == app.ChanControl) {
				err = cell.Send(ch, data)
			}
			if err != nil {
				_ = cell.Close() // the other direction ends with it, or has
				return
			}
		}
	})
	for over := false; !over; {
		ch, data, err := cell.Receive()
		if err != nil {
			ch = app.ChanEnd
			data, _ = json.Marshal(broken(err)) // can't fail
		}
		over = ch == app.ChanEnd
		if client.Send(ch, data) != nil {
			break
		}
	}
	_ = cell.Close()
	_ = client.Close() // a client that is gone doesn't want to know
	up.Wait()
}

// sessionsPause is between two looks at the sessions that a cell is to come
// for: little, since somebody waits.
const sessionsPause = 2 * time.Millisecond

func (s *server) wantedSessions(c *gin.Context) {
	id := c.Param("id")
	watch(s, c, source[[]app.Session]{
		changed: func() <-chan struct{} { return s.cfg.Execs.WantedChanged(id) },
		get:     func() ([]app.Session, error) { return s.cfg.Execs.Wanted(id), nil },
		same:    equal[[]app.Session],
		pause:   sessionsPause,
	})
}

func (s *server) attend(c *gin.Context) {
	cell, id := c.Param("id"), c.Param("session")
	if err := s.cfg.Execs.Waits(cell, id); err != nil {
		s.fail(c, err)
		return
	}
	in, release := s.during(c)
	defer release()
	l, err := accept(c.Writer, c.Request, maxSilence)
	if err != nil {
		c.Abort()
		return
	}
	defer l.Abort()
	if err := s.cfg.Execs.Attend(in, cell, id, l); err != nil {
		s.cfg.Log.Debug("session not begun", "cell", cell, "err", err)
	}
}

// SSHKeys are the public keys that open the SSH port. All methods may be called
// concurrently.
type SSHKeys interface {
	SSHKeys() []SSHKey
	// AddSSHKey takes a key as OpenSSH writes it. It is ErrExists if the name
	// is taken or the key is there.
	AddSSHKey(SSHKeyRequest) (SSHKey, error)
	RemoveSSHKey(name string) error
}

func (s *server) listSSHKeys(c *gin.Context) {
	s.answer(c, http.StatusOK, some(s.cfg.SSHKeys.SSHKeys()))
}

func (s *server) addSSHKey(c *gin.Context) {
	var r SSHKeyRequest
	if err := readStrict(c, &r); err != nil {
		s.fail(c, err)
		return
	}
	r.User = callerOf(c).Name
	k, err := s.cfg.SSHKeys.AddSSHKey(r)
	s.done(c, http.StatusCreated, k, err)
}

func (s *server) removeSSHKey(c *gin.Context) {
	if err := s.cfg.SSHKeys.RemoveSSHKey(c.Param("name")); err != nil {
		s.fail(c, err)
		return
	}
	c.Status(http.StatusNoContent)
}
