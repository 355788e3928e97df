package router_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"lattice/router"
)

// serving starts a router that is stopped by stop and then says on ended how
// it went.
func serving(t *testing.T, table *router.Table, drain time.Duration) (addr string, stop func(), ended <-chan error) {
	t.Helper()
	r := router.New(router.Options{})
	r.Swap(table)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	t.Cleanup(stop)
	result := make(chan error, 1)
	go func() { result <- serve(ctx, r, ln, drain) }()
	return ln.Addr().String(), stop, result
}

func TestServeLetsRequestsEnd(t *testing.T) {
	started, finish := make(chan bool), make(chan bool)
	s := backend(t, "", func(w http.ResponseWriter, _ *http.Request) {
		started <- true
		<-finish
		io.WriteString(w, "whole")
	})
	ln, stop, ended := serving(t, hosting("web", addr(s)), 10*time.Second)
	c := dial(t, ln)
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: web.lab\r\n\r\n")
	<-started
	stop()
	eventually(t, func() bool {
		c, err := net.Dial("tcp", ln)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	close(finish)
	if got, err := io.ReadAll(c); err != nil || !strings.HasSuffix(string(got), "whole") {
		t.Errorf("got %q, %v", got, err)
	}
	if err := <-ended; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

func TestServeCutsOffWhatIsLate(t *testing.T) {
	started, told := make(chan bool), make(chan bool)
	s := backend(t, "", func(_ http.ResponseWriter, req *http.Request) {
		started <- true
		<-req.Context().Done()
		close(told)
	})
	ln, stop, ended := serving(t, hosting("web", addr(s)), 50*time.Millisecond)
	io.WriteString(dial(t, ln), "GET / HTTP/1.1\r\nHost: web.lab\r\n\r\n")
	<-started
	stop()
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "drain http on "+ln) {
		t.Errorf("Serve: got %v, want it to say that something was cut", err)
	}
	<-told
}

func TestServeEndsTunnels(t *testing.T) {
	s := backend(t, "", func(w http.ResponseWriter, _ *http.Request) {
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
		io.Copy(io.Discard, c)
	})
	ln, stop, ended := serving(t, hosting("web", addr(s)), 10*time.Second)
	c := dial(t, ln)
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: web.lab\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
	br := bufio.NewReader(c)
	if res, err := http.ReadResponse(br, nil); err != nil || res.StatusCode != 101 {
		t.Fatalf("got %v, %v", res, err)
	}
	stop()
	if _, err := br.ReadByte(); err == nil {
		t.Error("the tunnel goes on")
	} else if late, ok := err.(net.Error); ok && late.Timeout() {
		t.Error("the tunnel was not closed")
	}
	if err := <-ended; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

func TestServeRefusesHugeHeaders(t *testing.T) {
	ln, _, _ := serving(t, hosting("web"), time.Second)
	c := dial(t, ln)
	go io.WriteString(c, "GET / HTTP/1.1\r\nHost: web.lab\r\nX: "+strings.Repeat("x", 1<<20)+"\r\n\r\n")
	if res, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || res.StatusCode != 431 {
		t.Errorf("got %v, %v; want 431", res, err)
	}
}

func TestServeSaysWhyItCanNot(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	if err := router.New(router.Options{}).Serve(t.Context(), ln, time.Second); err == nil {
		t.Error("Serve on a closed listener returned nil")
	}
}
