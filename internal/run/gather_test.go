package run_test

import (
	"bytes"
	"crypto/rand"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"lattice/internal/run"
)

// counting counts what is written to its connections.
type counting struct {
	net.Listener
	writes atomic.Int64
}

func (l *counting) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return countingConn{c, l}, err
}

type countingConn struct {
	net.Conn
	l *counting
}

func (c countingConn) Write(p []byte) (int, error) {
	c.l.writes.Add(1)
	return c.Conn.Write(p)
}

// An answer comes whole, in as many writes as its handler makes.
func TestGather(t *testing.T) {
	const pieces, pieceBytes = 16, 128 << 10
	body := make([]byte, pieces*pieceBytes)
	rand.Read(body)
	for _, tt := range []struct {
		name string
		h2   bool
		most int64
	}{
		{"HTTP/1.1", false, 2 * pieces},
		{"HTTP/2", true, 1 << 40},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				for i := range pieces {
					err := run.Gather(r, func() error { _, err := w.Write(body[i*pieceBytes : (i+1)*pieceBytes]); return err })
					if err != nil {
						t.Error(err)
					}
				}
			}))
			raw := &counting{Listener: srv.Listener}
			srv.Listener = run.Gathering(raw, srv.Config)
			srv.EnableHTTP2 = tt.h2
			srv.StartTLS()
			defer srv.Close()
			for range 2 { // the second on the same connection
				before := raw.writes.Load()
				resp, err := srv.Client().Get(srv.URL)
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil || !bytes.Equal(got, body) || resp.ProtoMajor == 2 != tt.h2 {
					t.Errorf("got %d bytes by HTTP/%d, %v", len(got), resp.ProtoMajor, err)
				}
				if n := raw.writes.Load() - before; n > tt.most {
					t.Errorf("%d writes, want at most %d", n, tt.most)
				} else {
					t.Log(n, "writes")
				}
			}
		})
	}
}

// An error of the connection is told to who gathers.
func TestGatherTellsErrors(t *testing.T) {
	told := make(chan error, 1)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var err error
		for err == nil {
			err = run.Gather(r, func() error { _, err := w.Write(make([]byte, 64<<10)); return err })
		}
		told <- err
	}))
	srv.Listener = run.Gathering(srv.Listener, srv.Config)
	srv.StartTLS()
	defer srv.Close()
	resp, err := srv.Client().Get(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close() // which cuts the connection
	if err := <-told; err == nil {
		t.Error("no error")
	}
}
