package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"lattice/app"
)

// A socket is an app.Link over a WebSocket: a frame is a binary message of which
// the first byte is the channel.
type socket struct {
	conn    *websocket.Conn
	silence time.Duration // after which the other side is dead; 0: it may be silent for ever
	buf     []byte

	quiet *time.Timer // ends the connection
	beat  *time.Timer
	over  atomic.Bool

	sending sync.Mutex // guards what follows, also while it is being sent
	out     []byte
}

const (
	beatEvery  = 15 * time.Second
	maxSilence = 45 * time.Second
)

func newSocket(conn *websocket.Conn, silence time.Duration) *socket {
	l := &socket{conn: conn, silence: silence, buf: make([]byte, app.MaxFrame+1)}
	conn.SetReadLimit(app.MaxFrameTaken + 1)
	l.quiet = time.AfterFunc(time.Hour, l.Abort)
	l.quiet.Stop()
	l.beat = time.AfterFunc(beatEvery, l.heartbeat)
	return l
}

// heartbeat sends a sign of life. A send that fails ends the connection, so that
// one that only waits to send notices that nobody is there any more.
func (l *socket) heartbeat() {
	if l.Send(app.ChanControl, nil) == nil && !l.over.Load() {
		l.beat.Reset(beatEvery)
	}
}

// Receive implements app.Link.
func (l *socket) Receive() (app.Channel, []byte, error) {
	for {
		b, err := l.message()
		if err != nil {
			return 0, nil, err
		}
		if ch := app.Channel(b[0]); ch != app.ChanControl || len(b) > 1 {
			return ch, b[1:], nil
		}
	}
}

// message returns the next message, into a buffer that grows with them.
func (l *socket) message() ([]byte, error) {
	if l.silence > 0 {
		l.quiet.Reset(l.silence)
		defer l.quiet.Stop()
	}
	kind, r, err := l.conn.Reader(context.Background())
	if err != nil {
		return nil, err
	}
	if kind != websocket.MessageBinary {
		return nil, errors.New("a text message, where frames must be binary")
	}
	n := 0
	for {
		m, err := r.Read(l.buf[n:])
		n += m
		switch {
		case err == io.EOF && n == 0:
			return nil, errors.New("a message without a channel")
		case err == io.EOF:
			return l.buf[:n], nil
		case err != nil:
			return nil, err
		case n == len(l.buf):
			l.buf = append(l.buf, make([]byte, len(l.buf))...) // bounded by the limit of the connection
		}
	}
}

// Send implements app.Link.
func (l *socket) Send(ch app.Channel, data []byte) error {
	l.sending.Lock()
	defer l.sending.Unlock()
	l.out = append(append(l.out[:0], byte(ch)), data...)
	return l.conn.Write(context.Background(), websocket.MessageBinary, l.out)
}

// Close implements app.Link.
func (l *socket) Close() error {
	l.rest()
	if err := l.conn.Close(websocket.StatusNormalClosure, ""); err != nil {
		return fmt.Errorf("close the connection of a session: %w", err)
	}
	return nil
}

// Abort implements app.Link.
func (l *socket) Abort() {
	l.rest()
	go func() { _ = l.conn.CloseNow() }() // it may wait for what is being sent
}

func (l *socket) rest() {
	l.over.Store(true)
	l.beat.Stop()
	l.quiet.Stop()
}

// accept makes a link of a request. A page of another site is refused; what
// can't be made one is answered.
func accept(w http.ResponseWriter, r *http.Request, silence time.Duration) (*socket, error) {
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{CompressionMode: websocket.CompressionDisabled})
	if err != nil {
		return nil, err
	}
	return newSocket(conn, silence), nil
}
