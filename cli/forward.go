package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"

	"lattice/app"
)

// maxForwarded bounds the connections of one forward; more wait in the queue of
// the system.
const maxForwarded = 200

// A forward carries connections from a listener to where it connects to.
type forward struct {
	remote   bool // listens inside
	listen   hostPort
	connect  hostPort
	original string
}

type hostPort struct {
	host string
	port int
}

func (h hostPort) String() string { return net.JoinHostPort(h.host, strconv.Itoa(h.port)) }

func parseForwards(local, remote []string) ([]forward, error) {
	var all []forward
	for _, text := range local {
		f, err := parseForward(text)
		if err != nil {
			return nil, fmt.Errorf("-L %q: %w", text, err)
		}
		all = append(all, f)
	}
	for _, text := range remote {
		f, err := parseForward(text)
		if err != nil {
			return nil, fmt.Errorf("-R %q: %w", text, err)
		}
		f.remote = true
		all = append(all, f)
	}
	return all, nil
}

// parseForward reads [LISTEN:]PORT:HOST:PORT. An IPv6 address stands in brackets.
func parseForward(text string) (forward, error) {
	parts, err := splitColons(text)
	if err == nil && len(parts) == 3 {
		parts = append([]string{"localhost"}, parts...)
	}
	if err != nil || len(parts) != 4 || parts[2] == "" {
		return forward{}, errors.New("must be PORT:HOST:PORT or LISTEN:PORT:HOST:PORT, such as 5432:localhost:5432")
	}
	f := forward{original: text, listen: hostPort{host: parts[0]}, connect: hostPort{host: parts[2]}}
	if f.listen.port, err = forwardPort(parts[1], 0); err != nil {
		return forward{}, err
	}
	f.connect.port, err = forwardPort(parts[3], 1)
	return f, err
}

func forwardPort(text string, least uint64) (int, error) {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n < least {
		return 0, fmt.Errorf("%q is not a port", text)
	}
	return int(n), nil
}

// splitColons splits at the colons that are not in brackets, and takes those off.
func splitColons(text string) (parts []string, err error) {
	for rest := text; ; {
		part := ""
		if strings.HasPrefix(rest, "[") {
			end := strings.Index(rest, "]")
			if end < 0 {
				return nil, errors.New("a bracket is not closed")
			}
			part, rest = rest[1:end], rest[end+1:]
			if rest != "" && rest[0] != ':' {
				return nil, errors.New("a colon is missing behind a bracket")
			}
		} else {
			end := strings.Index(rest+":", ":")
			part, rest = rest[:end], rest[end:]
		}
		parts = append(parts, part)
		if rest == "" {
			return parts, nil
		}
		rest = rest[1:]
	}
}

// startForwards begins to listen for all of them, or for none, and goes on until
// ctx ends. It calls broken when one can't go on. wait waits until all is over.
func (st *streams) startForwards(ctx context.Context, in inside, all []forward, broken context.CancelCauseFunc) (wait func(), err error) {
	var running sync.WaitGroup
	for _, f := range all {
		start := st.forwardLocal
		if f.remote {
			start = st.forwardRemote
		}
		run, err := start(ctx, in, f)
		if err != nil {
			broken(err)
			running.Wait()
			return nil, err
		}
		running.Go(func() {
			if err := run(); err != nil && ctx.Err() == nil {
				broken(err)
			}
		})
	}
	return func() {
		broken(nil)
		running.Wait()
	}, nil
}

func (st *streams) forwardLocal(ctx context.Context, in inside, f forward) (run func() error, err error) {
	host := f.listen.host
	if host == "*" {
		host = ""
	}
	ln, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(f.listen.port)))
	if err != nil {
		return nil, fail(exitSession, fmt.Errorf("listen for -L %s: %w", f.original, err))
	}
	st.note("Forwarding %s to %s in %s", ln.Addr(), f.connect, in)
	return func() error {
		defer context.AfterFunc(ctx, func() { ln.Close() })()
		defer ln.Close()
		slots := make(chan struct{}, maxForwarded)
		var conns sync.WaitGroup
		defer conns.Wait()
		for {
			slots <- struct{}{}
			conn, err := ln.Accept()
			if err != nil {
				return err
			}
			conns.Go(func() {
				defer func() { <-slots }()
				if err := carryInside(ctx, in, conn.(*net.TCPConn), app.SessionRequest{Kind: app.SessionDial, Host: f.connect.host, Port: f.connect.port}); err != nil {
					st.warn("a connection to %s: %v", f.connect, err)
				}
			})
		}
	}, nil
}

// carryInside carries a connection of this machine to a session.
func carryInside(ctx context.Context, in inside, conn *net.TCPConn, r app.SessionRequest) error {
	l, err := in.open(ctx, r)
	if err == nil {
		if _, err = app.AwaitOpening(l); err != nil {
			l.Abort()
		}
	}
	if err != nil {
		_ = conn.SetLinger(0) // whoever it is sees a refusal, not an end
		conn.Close()
		return err
	}
	defer context.AfterFunc(ctx, l.Abort)()
	_ = app.Splice(l, conn) // it ends as connections do
	return nil
}

func (st *streams) forwardRemote(ctx context.Context, in inside, f forward) (run func() error, err error) {
	l, err := in.open(ctx, app.SessionRequest{Kind: app.SessionListen, Host: f.listen.host, Port: f.listen.port})
	var opening app.SessionOpening
	if err == nil {
		if opening, err = app.AwaitOpening(l); err != nil {
			l.Abort()
		}
	}
	if err != nil {
		return nil, &failure{code: exitSession, err: fmt.Errorf("listen for -R %s: %w", f.original, err), hint: noHint}
	}
	f.listen.port = opening.Port
	st.note("Forwarding %s in %s to %s", f.listen, in, f.connect)
	return func() error {
		defer context.AfterFunc(ctx, l.Abort)()
		slots := make(chan struct{}, maxForwarded)
		var conns sync.WaitGroup
		defer conns.Wait()
		for {
			a, err := accepted(l)
			if err != nil {
				return err
			}
			slots <- struct{}{}
			conns.Go(func() {
				defer func() { <-slots }()
				if err := bringHere(ctx, in, f, a); err != nil && ctx.Err() == nil {
					st.warn("a connection to %s: %v", f.connect, err)
				}
			})
		}
	}, nil
}

// accepted returns the next connection that the session tells of.
func accepted(l app.Link) (string, error) {
	for {
		ch, data, err := l.Receive()
		switch {
		case err != nil:
			return "", err
		case ch == app.ChanEnd:
			if err := endOf(data); err != nil {
				return "", err
			}
			return "", errors.New("the session ended")
		case ch == app.ChanControl:
			var m app.SessionControl
			if json.Unmarshal(data, &m) == nil && m.Accepted != nil {
				return m.Accepted.Conn, nil
			}
		}
	}
}

// bringHere carries a connection that came in inside to where -R says.
func bringHere(ctx context.Context, in inside, f forward, conn string) error {
	here, err := (&net.Dialer{}).DialContext(ctx, "tcp", f.connect.String())
	if err != nil {
		l, openErr := in.open(ctx, app.SessionRequest{Kind: app.SessionAccept, Conn: conn}) // to close it
		if openErr == nil {
			l.Abort()
		}
		return err
	}
	return carryInside(ctx, in, here.(*net.TCPConn), app.SessionRequest{Kind: app.SessionAccept, Conn: conn})
}
