package router

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"time"
)

const (
	maxHello  = 64 << 10 // bytes that a client may send before it has said whom it wants
	helloWait = 10 * time.Second
)

// errHeard ends the handshake that is not ours.
var errHeard = errors.New("heard")

// A listener-in gives crypto/tls what a client says, keeps it, and says nothing.
type listenerIn struct {
	net.Conn
	heard bytes.Buffer
}

func (l *listenerIn) Read(p []byte) (int, error) {
	if left := maxHello - l.heard.Len(); len(p) > left {
		p = p[:left]
	}
	if len(p) == 0 {
		return 0, io.ErrShortBuffer
	}
	n, err := l.Conn.Read(p)
	l.heard.Write(p[:n])
	return n, err
}

func (l *listenerIn) Write(p []byte) (int, error) { return len(p), nil }

// serverName reads what a client of TLS begins with. It returns the name of the
// server that it wants, in lower case, "" for none, and all that was read.
func serverName(ctx context.Context, conn net.Conn) (name string, heard []byte, err error) {
	if err := conn.SetReadDeadline(time.Now().Add(helloWait)); err != nil {
		return "", nil, err
	}
	l := &listenerIn{Conn: conn}
	err = tls.Server(l, &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		name = strings.ToLower(strings.TrimSuffix(hello.ServerName, "."))
		return nil, errHeard
	}}).HandshakeContext(ctx)
	if !errors.Is(err, errHeard) {
		return "", nil, errors.Join(errors.New("no TLS"), err)
	}
	return name, l.heard.Bytes(), conn.SetReadDeadline(time.Time{})
}

// named returns the route for a name: its own, or that of the longest wildcard.
func (at *port) named(name string) (tcpRoute, bool) {
	r, ok := at.routes[name]
	for rest := name; !ok && rest != ""; {
		_, rest, _ = strings.Cut(rest, ".")
		r, ok = at.routes["*."+rest]
	}
	return r, ok && name != ""
}

// unrecognised tells a client of TLS that there is no server of that name.
var unrecognised = [...]byte{21, 3, 3, 0, 2, 2, 112}
