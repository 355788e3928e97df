package router_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"lattice/app"
	"lattice/router"
)

// pattern is a body of so many bytes, of which no two parts are the same.
func pattern(n int) []byte {
	b := make([]byte, 0, n+8)
	for i := 0; len(b) < n; i++ {
		b = strconv.AppendInt(b, int64(i), 36)
	}
	return b[:n]
}

// talkative answers /SIZE/KIND with a body of that size: by length, in chunks or
// until the connection closes, at once or in parts. It says how many bytes of a
// body came and that they were right.
func talkative(w http.ResponseWriter, req *http.Request) {
	got, err := io.ReadAll(req.Body)
	if err != nil || !bytes.Equal(got, pattern(len(got))) {
		http.Error(w, "the body came wrong", http.StatusBadRequest)
		return
	}
	var size int
	var kind string
	fmt.Sscanf(strings.ReplaceAll(req.URL.Path, "/", " "), "%d %s", &size, &kind)
	w.Header().Set("X-Got", strconv.Itoa(len(got)))
	body := pattern(size)
	switch kind {
	case "length":
		w.Header().Set("Content-Length", strconv.Itoa(size))
	case "close":
		conn, out, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		fmt.Fprintf(out, "HTTP/1.1 200 OK\r\nX-Got: %d\r\n\r\n", len(got))
		out.Write(body)
		out.Flush()
		return
	case "slow":
		for len(body) > 0 {
			n := min(len(body), 1+size/7)
			w.Write(body[:n])
			_ = http.NewResponseController(w).Flush()
			body = body[n:]
			time.Sleep(time.Millisecond)
		}
	}
	w.Write(body)
}

// A question is one request of a conversation, and what its answer must be.
type question struct {
	method string
	size   int // of the answer
	sent   int // bytes of the request's body
	text   []byte
}

func randomQuestion(rnd *rand.Rand) question {
	sizes := []int{0, 1, 100, 4000, 16 << 10, 64<<10 - 300, 70_000, 300_000, 900_000}
	q := question{method: "GET", size: sizes[rnd.IntN(len(sizes))]}
	kind := []string{"length", "length", "length", "chunks", "slow", "close"}[rnd.IntN(6)]
	var b bytes.Buffer
	head := func(more string) {
		fmt.Fprintf(&b, "%s /%d/%s HTTP/1.1\r\nHost: web.lab\r\nX-Pad: %s\r\n%s\r\n", q.method, q.size, kind, strings.Repeat("x", rnd.IntN(200)), more)
	}
	switch rnd.IntN(8) {
	case 0:
		if q.method = "HEAD"; kind == "close" {
			kind = "length"
		}
		head("")
	case 1:
		q.method, q.sent = "POST", 1+rnd.IntN(2000)
		head(fmt.Sprintf("Content-Length: %d\r\n", q.sent))
		b.Write(pattern(q.sent))
	case 2:
		q.method, q.sent = "POST", 1+rnd.IntN(200_000)
		head(fmt.Sprintf("Content-Length: %d\r\n", q.sent))
		b.Write(pattern(q.sent))
	case 3:
		q.method, q.sent = "PUT", 1+rnd.IntN(50_000)
		head("Transfer-Encoding: chunked\r\n")
		for body := pattern(q.sent); len(body) > 0; {
			n := 1 + rnd.IntN(len(body))
			fmt.Fprintf(&b, "%x\r\n%s\r\n", n, body[:n])
			body = body[n:]
		}
		b.WriteString("0\r\n\r\n")
	default:
		head("")
	}
	q.text = b.Bytes()
	return q
}

// TestConversations has clients ask in all ways, in pieces and ahead of the answers,
// and read slowly: each must get what it asked for, in order.
func TestConversations(t *testing.T) {
	first, second := backend(t, "", talkative), backend(t, "", talkative)
	ln, _ := rawFront(t, hosting("web", addr(first), addr(second)))
	seed := rand.Uint64()
	var all sync.WaitGroup
	for n := range uint64(12) {
		all.Go(func() {
			if err := converse(ln, rand.New(rand.NewPCG(seed, n))); err != nil {
				t.Errorf("conversation %d of seed %d: %v", n, seed, err)
			}
		})
	}
	all.Wait()
}

func converse(ln string, rnd *rand.Rand) error {
	c, err := net.Dial("tcp", ln)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	var questions []question
	var said []byte
	for range 30 {
		q := randomQuestion(rnd)
		questions, said = append(questions, q), append(said, q.text...)
	}
	writer := rand.New(rand.NewPCG(rnd.Uint64(), 1))
	go func() {
		for len(said) > 0 {
			n := min(len(said), 1+writer.IntN(5000))
			if _, err := c.Write(said[:n]); err != nil {
				return // the answers tell
			}
			if said = said[n:]; writer.IntN(4) == 0 {
				time.Sleep(time.Duration(writer.IntN(2000)) * time.Microsecond)
			}
		}
	}()
	in := bufio.NewReader(c)
	for i, q := range questions {
		res, err := http.ReadResponse(in, &http.Request{Method: q.method})
		if err != nil {
			return fmt.Errorf("answer %d, to %.80q: %w", i, q.text, err)
		}
		if rnd.IntN(3) == 0 {
			time.Sleep(time.Duration(rnd.IntN(20)) * time.Millisecond)
		}
		body, err := io.ReadAll(res.Body)
		want := pattern(q.size)
		if q.method == "HEAD" {
			want = nil
		}
		if err != nil || res.StatusCode != 200 || !bytes.Equal(body, want) || res.Header.Get("X-Got") != strconv.Itoa(q.sent) {
			return fmt.Errorf("answer %d, to %.80q: %s, %d bytes, %s received, %v", i, q.text, res.Status, len(body), res.Header.Get("X-Got"), err)
		}
	}
	return nil
}

// A client that reads slowly, and one that reads without end, hold up nobody, and
// the slow one costs no more than a buffer.
func TestNobodyIsHeldUp(t *testing.T) {
	stop := make(chan struct{})
	t.Cleanup(func() { close(stop) })
	s := backend(t, "", func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/short" {
			return
		}
		for part := make([]byte, 64<<10); ; {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := w.Write(part); err != nil {
				return
			}
		}
	})
	ln, _ := rawFront(t, hosting("web", addr(s)))
	for i := range 6 {
		c := dial(t, ln)
		io.WriteString(c, "GET /endless HTTP/1.1\r\nHost: web.lab\r\n\r\n")
		if i%2 == 0 {
			go io.Copy(io.Discard, c)
		}
	}
	time.Sleep(300 * time.Millisecond)
	for range 20 {
		c := dial(t, ln)
		_ = c.SetDeadline(time.Now().Add(5 * time.Second))
		io.WriteString(c, "GET /short HTTP/1.1\r\nHost: web.lab\r\n\r\n")
		if _, err := bufio.NewReader(c).ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
}

// A client that says it sends no more still gets its answer.
func TestHalfClosedClient(t *testing.T) {
	s := backend(t, "", func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(50 * time.Millisecond)
		io.WriteString(w, "whole")
	})
	ln, _ := rawFront(t, hosting("web", addr(s)))
	c := dial(t, ln)
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: web.lab\r\n\r\n")
	c.(*net.TCPConn).CloseWrite()
	if got, err := io.ReadAll(c); err != nil || !strings.HasSuffix(string(got), "whole") {
		t.Errorf("got %q, %v", got, err)
	}
}

// Connections to instances are used again, whatever the answers are like.
func TestLinksAreUsedAgain(t *testing.T) {
	var made atomic.Int32
	s := httptest.NewUnstartedServer(http.HandlerFunc(talkative))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			made.Add(1)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	ln, _ := rawFront(t, hosting("web", addr(s)))
	c := dial(t, ln)
	in := bufio.NewReader(c)
	for range 5 {
		for _, size := range []int{0, 100, 16 << 10, 64 << 10, 500_000} {
			for _, kind := range []string{"length", "chunks"} {
				fmt.Fprintf(c, "GET /%d/%s HTTP/1.1\r\nHost: web.lab\r\n\r\n", size, kind)
				res, err := http.ReadResponse(in, nil)
				if err != nil {
					t.Fatal(err)
				}
				if n, err := io.Copy(io.Discard, res.Body); err != nil || n != int64(size) {
					t.Fatalf("%d bytes of %d, %v", n, size, err)
				}
			}
		}
	}
	if n := made.Load(); n != 1 {
		t.Errorf("%d connections were made, want 1", n)
	}
}

// A fault of ours in one request ends that one only.
func TestFaultEndsOneRequest(t *testing.T) {
	s := backend(t, "app", nil)
	r := router.New(router.Options{OnAccess: func(a *router.Access) {
		if a.Target == "/fault" {
			panic("a fault")
		}
	}})
	r.Swap(hosting("web", addr(s)))
	front := plainFront(t, r)
	other := dial(t, front)
	if got := say(t, front, "GET /fault HTTP/1.1\r\nHost: web.lab\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 200") {
		t.Errorf("got %q", got)
	}
	io.WriteString(other, "GET / HTTP/1.1\r\nHost: web.lab\r\nConnection: close\r\n\r\n")
	if got, err := io.ReadAll(other); err != nil || !strings.Contains(string(got), "app") {
		t.Errorf("got %q, %v", got, err)
	}
	for _, b := range r.Stats().Backends {
		if b.InFlight != 0 {
			t.Errorf("%d requests are on their way for ever", b.InFlight)
		}
	}
}

// An instance whose address is a name is reached too, and one that can't be is
// counted once.
func TestAddressesMayBeNames(t *testing.T) {
	byName := func(name, addr string) app.Status {
		s := instances(name, addr)
		s.Instances[0].Host = "localhost"
		return s
	}
	s := backend(t, "app", nil)
	front, r := rawFront(t, router.Build([]app.Status{byName("web", addr(s)), byName("dead", nobody(t))}, "lab", nil))
	for host, want := range map[string]string{"web": "HTTP/1.1 200", "dead": "HTTP/1.1 502"} {
		if got := say(t, front, "GET / HTTP/1.1\r\nHost: "+host+".lab\r\nConnection: close\r\n\r\n"); !strings.HasPrefix(got, want) {
			t.Errorf("%s: got %q, want %s", host, got, want)
		}
	}
	if n := r.Stats().Unreachable; n != 1 {
		t.Errorf("%d failures to connect were counted, want 1", n)
	}
}
