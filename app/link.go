package app

import (
	"encoding/json"
	"errors"
	"io"
	"sync"
)

// A Link is one of the two ends of a session's connection. Send may be called
// concurrently with all else; Receive only by one goroutine at a time.
type Link interface {
	// Receive returns the next frame; the data is valid until the next call.
	// Signs of life are not returned.
	Receive() (Channel, []byte, error)

	// Send returns when the network has taken the frame, which may be long if
	// nobody reads at the other end.
	Send(ch Channel, data []byte) error

	// Close says goodbye and closes the connection. What was sent arrives.
	Close() error

	// Abort closes the connection at once. Receive and Send return.
	Abort()
}

// SendControl sends v, a SessionControl or a SessionRequest, as JSON.
func SendControl(l Link, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return l.Send(ChanControl, b)
}

// SendEnd sends the last frame.
func SendEnd(l Link, e SessionEnd) error {
	b, err := json.Marshal(e)
	if err != nil {
		return err
	}
	return l.Send(ChanEnd, b)
}

// A Refusal is how a session ended that didn't come about.
type Refusal struct{ SessionEnd }

// Error returns the reason.
func (r *Refusal) Error() string { return r.Reason }

// AwaitOpening waits until a session has begun that carries a connection or
// listens. It returns a *Refusal when it ends instead.
func AwaitOpening(l Link) (SessionOpening, error) {
	for {
		ch, data, err := l.Receive()
		if err != nil {
			return SessionOpening{}, err
		}
		switch ch {
		case ChanEnd:
			r := &Refusal{}
			err := json.Unmarshal(data, &r.SessionEnd)
			if r.Reason == "" {
				r.Reason = "the session ended before it began"
			}
			return SessionOpening{}, errors.Join(r, err)
		case ChanControl:
			var c SessionControl
			if err := json.Unmarshal(data, &c); err != nil {
				return SessionOpening{}, err
			}
			if c.Opened != nil {
				return *c.Opened, nil
			}
		}
	}
}

// A HalfConn is a connection of which each direction ends by itself.
type HalfConn interface {
	io.ReadWriteCloser
	CloseWrite() error
}

// Splice carries c to a session of SessionDial or SessionAccept that has begun,
// until it ends. It closes both.
func Splice(l Link, c HalfConn) error {
	var up sync.WaitGroup
	up.Go(func() {
		buf := make([]byte, MaxFrame)
		for {
			n, err := c.Read(buf)
			if n > 0 && l.Send(ChanIn, buf[:n]) != nil {
				return // Receive fails as well
			}
			if err == io.EOF {
				_ = l.Send(ChanIn, nil)
				return
			}
			if err != nil {
				l.Abort()
				return
			}
		}
	})
	err := bring(l, c)
	_ = c.Close() // wakes the other direction
	if err != nil {
		l.Abort()
	} else {
		err = l.Close()
	}
	up.Wait()
	return err
}

// bring copies what the session brings to c until its end.
func bring(l Link, c HalfConn) error {
	for {
		ch, data, err := l.Receive()
		switch {
		case err != nil:
			return err
		case ch == ChanEnd:
			return nil
		case ch != ChanOut:
		case len(data) == 0:
			err = c.CloseWrite()
		default:
			_, err = c.Write(data)
		}
		if err != nil {
			return err
		}
	}
}
