package run_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"lattice/internal/run"
)

// A pipeListener hands out in-memory connections, which synctest can follow.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { close(l.closed); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// get sends a request over a connection of its own and returns the body.
func (l *pipeListener) get() (string, error) {
	client, server := net.Pipe()
	defer client.Close()
	l.conns <- server
	if _, err := io.WriteString(client, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); err != nil {
		return "", err
	}
	res, err := http.ReadResponse(bufio.NewReader(client), nil)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return string(b), err
}

func TestHTTPDrains(t *testing.T) {
	for _, c := range []struct {
		name    string
		needs   time.Duration // of the request that is open when the stop begins
		took    time.Duration
		cut     bool
		message string
	}{
		{"a short request ends well", 5 * time.Second, 5 * time.Second, false, ""},
		{"a long one is cut off", time.Hour, 10 * time.Second, true, "cut off requests"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ln := &pipeListener{make(chan net.Conn), make(chan struct{})}
				var said strings.Builder
				srv := &http.Server{ErrorLog: log.New(&said, "", 0), Handler: slow(c.needs)}
				ctx, stop := context.WithCancel(t.Context())
				ended := make(chan error, 1)
				go func() { ended <- run.HTTP(ln, srv, 10*time.Second)(ctx) }()
				answer := make(chan error, 1)
				go func() {
					body, err := ln.get()
					if err == nil && body != "done" {
						err = errors.New("got " + body)
					}
					answer <- err
				}()
				synctest.Wait() // the request is open
				began := time.Now()
				stop()
				if err := <-ended; err != nil {
					t.Error(err)
				}
				if took := time.Since(began).Round(time.Second); took != c.took {
					t.Errorf("stopped after %v, want %v", took, c.took)
				}
				if err := <-answer; (err != nil) != c.cut {
					t.Errorf("the open request got error %v, want one: %v", err, c.cut)
				}
				if !strings.Contains(said.String(), c.message) {
					t.Errorf("log says %q, want %q in it", said.String(), c.message)
				}
			})
		})
	}
}

func TestHTTPFails(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	if err := run.HTTP(ln, &http.Server{}, time.Second)(t.Context()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v, want net.ErrClosed", err)
	}
}

// slow answers after d, or not at all when its request is cancelled.
func slow(d time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(d):
			io.WriteString(w, "done")
		case <-r.Context().Done():
		}
	})
}
