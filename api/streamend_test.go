package api_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"lattice/api"
	"lattice/app"
)

func TestASilentStreamShowsSignsOfLife(t *testing.T) {
	c := newCounter()
	b := start(t, c.backend, func(cfg *api.ServerConfig) { cfg.Heartbeat = 20 * time.Millisecond })
	conn := b.open(t, "/api/v1/apps/web?watch=true")
	r := bufio.NewReader(conn)
	for line, beats := "", 0; beats < 3; {
		var err error
		if line, err = r.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		if line == "\n" { // with "\r" it belongs to the header
			beats++
		}
	}
	// A client that gives up sooner than the next sign of life does so.
	deaf := start(t, c.backend)
	hasty := deaf.client(t, userToken, func(cfg *api.ClientConfig) { cfg.Silence = 50 * time.Millisecond })
	err := hasty.WatchApp(within(t, 20*time.Second), "web", func(app.Status) error { return nil })
	if !errors.Is(err, app.ErrUnavailable) || !strings.Contains(err.Error(), "silent for 50ms") {
		t.Errorf("got %v", err)
	}
	// One that is busy itself doesn't take that for silence.
	patient := b.client(t, userToken, func(cfg *api.ClientConfig) { cfg.Silence = 200 * time.Millisecond })
	seen := 0
	err = patient.WatchApp(within(t, 20*time.Second), "web", func(app.Status) error {
		if seen++; seen == 3 {
			return io.EOF
		}
		time.Sleep(400 * time.Millisecond)
		c.next()
		return nil
	})
	if err != io.EOF {
		t.Errorf("got %v", err)
	}
}

func TestStreamsEndWhenTheServerStops(t *testing.T) {
	c := newCounter()
	b := start(t, c.backend)
	err := b.user.WatchApp(within(t, 20*time.Second), "web", func(app.Status) error {
		b.stop()
		return nil
	})
	if !errors.Is(err, app.ErrUnavailable) || err.Error() != "the brain is stopping" {
		t.Errorf("got %v", err)
	}
	err = b.user.WatchApp(within(t, 20*time.Second), "web", func(app.Status) error { return nil })
	if !errors.Is(err, app.ErrUnavailable) {
		t.Errorf("a stream that begins when the server stops: got %v", err)
	}
}

// start's clean-up fails when a stream holds up the server.
func TestAClientThatNeverReadsDoesNotHoldUpTheServer(t *testing.T) {
	entered := make(chan struct{}, 1)
	returned := make(chan struct{})
	flood := make([]app.LogLine, 100)
	for i := range flood {
		flood[i].Text = strings.Repeat("x", app.MaxLine)
	}
	b := start(t, &backend{
		status: func(string) (app.Status, error) { return app.Status{}, nil },
		follow: func(_ context.Context, _ string, _ int, fn func([]app.LogLine) error) error {
			defer close(returned)
			for {
				select {
				case entered <- struct{}{}:
				default:
				}
				if err := fn(flood); err != nil {
					return err
				}
			}
		},
	})
	b.open(t, "/api/v1/apps/web/logs?follow=true")
	<-entered
	began := time.Now()
	b.stop()
	select {
	case <-returned:
	case <-time.After(20 * time.Second):
		t.Fatal("the handler is still writing")
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
}

// open sends the request for a stream and returns the connection, of which
// nothing was read.
func (b *brain) open(t *testing.T, path string) *tls.Conn {
	t.Helper()
	conn, err := tls.Dial("tcp", strings.TrimPrefix(b.url, "https://"), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: brain\r\nAuthorization: Bearer %s\r\n\r\n", path, userToken); err != nil {
		t.Fatal(err)
	}
	return conn
}

// Without TLS, whose handshakes would be most of the test.
func TestAThousandWatchersAreCheap(t *testing.T) {
	const watchers, changes = 1000, 10_000
	c := newCounter()
	done, stop := context.WithCancel(context.Background())
	srv := httptest.NewServer(api.NewServer(api.ServerConfig{
		Apps: c.backend, Cells: c.backend, Logs: c.backend, Log: discard(), Done: done,
		Auth: api.Tokens{User: api.HashToken(userToken)},
	}))
	defer srv.Close()
	defer stop() // before Close, which waits for the streams
	before := memory()
	var first, last, all sync.WaitGroup
	first.Add(watchers)
	last.Add(watchers)
	for range watchers {
		conn, err := net.Dial("tcp", srv.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "GET /api/v1/apps/web?watch=true HTTP/1.1\r\nHost: brain\r\nConnection: close\r\nAuthorization: Bearer %s\r\n\r\n", userToken)
		all.Go(func() {
			for lines := bufio.NewScanner(conn); lines.Scan(); {
				switch line := lines.Text(); {
				case strings.Contains(line, `"revision":0,`):
					first.Done()
				case strings.Contains(line, fmt.Sprintf(`"revision":%d,`, changes)):
					last.Done()
				}
			}
		})
	}
	first.Wait()
	each := (memory() - before) / watchers
	looks := c.looks.Load()
	began := time.Now()
	for range changes {
		c.next()
	}
	last.Wait()
	took := time.Since(began)
	looks = c.looks.Load() - looks
	t.Logf("%d KiB a watcher; %d changes were with all after %v and %d looks", each>>10, changes, took, looks)
	if each > 96<<10 || looks > 100*watchers {
		t.Error("that is too much")
	}
	stop()
	all.Wait()
}

// memory returns how much the process has in heap and stacks.
func memory() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapInuse + m.StackInuse)
}

// Browsers want HTTP/2, since they open only a few connections to one host.
func TestAllWorksOverHTTP2(t *testing.T) {
	c := newCounter()
	c.create = func(a app.App) (app.App, error) { return a, nil }
	done, stop := context.WithCancel(context.Background())
	srv := httptest.NewUnstartedServer(api.NewServer(api.ServerConfig{
		Apps: c.backend, Cells: c.backend, Logs: c.backend, Log: discard(), Done: done, Heartbeat: 10 * time.Millisecond,
		Auth: api.Tokens{User: api.HashToken(userToken)},
	}))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	defer srv.Close()
	defer stop()
	ask := func(method, path, body string) *http.Response {
		req, err := http.NewRequestWithContext(within(t, 20*time.Second), method, srv.URL+"/api/v1"+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+userToken)
		resp, err := srv.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { resp.Body.Close() })
		return resp
	}
	if resp := ask("POST", "/apps", `{"name":"web","image":"nginx"}`); resp.ProtoMajor != 2 || resp.StatusCode != http.StatusCreated {
		t.Fatalf("got %s over %s", resp.Status, resp.Proto)
	}
	var got []string
	for lines := bufio.NewScanner(ask("GET", "/apps/web?watch=true", "").Body); lines.Scan(); {
		switch line := lines.Text(); {
		case line == "" && len(got) == 1:
			c.next()
		case line == "" && len(got) == 2:
			stop()
		case line != "":
			got = append(got, line)
		}
	}
	if len(got) != 3 || got[0] == got[1] || !strings.Contains(got[2], `"unavailable"`) {
		t.Errorf("got %q", got)
	}
}
