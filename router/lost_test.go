package router_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lattice/app"
	"lattice/router"
)

// A vanishing listener can have its host lose its power: nothing that comes is taken
// any more, nor refused.
type vanishing struct {
	net.Listener
	mu    sync.Mutex
	conns []syscall.Conn
}

func (v *vanishing) Accept() (net.Conn, error) {
	c, err := v.Listener.Accept()
	if err == nil {
		v.mu.Lock()
		v.conns = append(v.conns, c.(syscall.Conn))
		v.mu.Unlock()
	}
	return c, err
}

func (v *vanishing) vanish(t *testing.T) {
	t.Helper()
	v.mu.Lock()
	defer v.mu.Unlock()
	nothing := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: 0}
	for _, c := range append(v.conns, v.Listener.(syscall.Conn)) {
		raw, err := c.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		_ = raw.Control(func(fd uintptr) { // one that is closed takes nothing, too
			err = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &nothing})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Requests to an instance whose host is gone are answered by another one, whether
// they are on their way to it, or it has them already and owes an answer.
func TestLostHost(t *testing.T) {
	for name, w := range map[string]way{"loop": byLoop, "goroutine": byGoroutine, "library": byLibrary} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lostHost(t, w)
		})
	}
}

func lostHost(t *testing.T, w way) {
	const each = 4
	var gone atomic.Bool
	var has, warm sync.WaitGroup // the lost one has so many requests
	release := make(chan struct{})
	lost := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		switch req.URL.Path {
		case "/warm": // so many connections at once
			warm.Done()
			warm.Wait()
		case "/slow":
			has.Done()
			<-release
		}
	}))
	var plain net.ListenConfig
	plain.SetMultipathTCP(false) // which knows no filters
	under, err := plain.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	lost.Listener.Close()
	v := &vanishing{Listener: under}
	lost.Listener = v
	lost.Start()
	defer func() { close(release); lost.CloseClientConnections(); lost.Close() }()
	well := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "well") }))
	defer well.Close()

	front, r := rawFrontBy(t, w, router.Build([]app.Status{instances("web", addr(lost))}, "lab", nil))
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	get := func(path string) error {
		req, err := http.NewRequest(http.MethodGet, "http://"+front+path, nil)
		if err != nil {
			return err
		}
		req.Host = "web.lab"
		began := time.Now()
		res, err := client.Do(req)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		took := time.Since(began)
		switch limit := 14 * time.Second; {
		case err != nil || res.StatusCode != http.StatusOK:
			return fmt.Errorf("%s: %d %s %v after %v", path, res.StatusCode, body, err, took)
		case gone.Load() && string(body) != "well":
			return fmt.Errorf("%s: answered by the lost one", path)
		case took > limit:
			return fmt.Errorf("%s: took %v, want at most %v", path, took, limit)
		}
		return nil
	}
	var all sync.WaitGroup
	ask := func(path string, n int) {
		for range n {
			all.Go(func() {
				if err := get(path); err != nil {
					t.Error(err)
				}
			})
		}
	}
	warm.Add(2 * each)
	ask("/warm", 2*each)
	all.Wait()
	has.Add(each)
	ask("/slow", each)
	has.Wait()
	gone.Store(true)
	v.vanish(t)
	r.Swap(router.Build([]app.Status{instances("web", addr(lost), addr(well))}, "lab", nil))
	ask("/", 2*each)
	all.Wait()
}
