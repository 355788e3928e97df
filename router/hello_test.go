package router

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"lattice/app"
)

// speaking returns the address of a TLS server that greets with its name.
func speaking(t *testing.T, name string) string {
	t.Helper()
	cert := selfSigned(t, name)
	return listening(t, func(conn *net.TCPConn) {
		s := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{cert}})
		defer s.Close()
		_ = s.SetDeadline(time.Now().Add(longest))
		b := make([]byte, 5)
		if _, err := io.ReadFull(s, b); err == nil {
			_, _ = io.WriteString(s, name+" got "+string(b))
		}
	})
}

func selfSigned(t *testing.T, name string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{name}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// named returns an app that has name on a port, with an instance at addr.
func named(name string, port int, addr string) *app.Status {
	s := tcpApp(app.TCPRoute{External: port, SNI: name}, addr)
	s.App.Name, s.Instances[0].App, s.Instances[0].GUID = strings.TrimPrefix(name, "*."), strings.TrimPrefix(name, "*."), name
	return s
}

func TestConnectionsGoByTheNameTheyWant(t *testing.T) {
	p := running(t)
	port := unusedPort(t)
	for _, name := range []string{"a.lab", "b.lab", "*.c.lab"} {
		p.Set(named(name, port, speaking(t, name)))
	}
	ask := func(name string) (string, error) {
		conn := tls.Client(connected(t, port), &tls.Config{ServerName: name, InsecureSkipVerify: true}) // who answers is told by what is said
		defer conn.Close()
		if err := conn.Handshake(); err != nil {
			return "", err
		}
		if got := conn.ConnectionState().PeerCertificates[0].DNSNames[0]; !strings.HasSuffix(strings.ToLower(name), strings.TrimPrefix(got, "*")) {
			t.Errorf("%s is answered with the certificate of %s", name, got)
		}
		if _, err := io.WriteString(conn, "hello"); err != nil {
			return "", err
		}
		b, err := io.ReadAll(conn)
		return string(b), err
	}
	for name, want := range map[string]string{"a.lab": "a.lab", "b.lab": "b.lab", "x.c.lab": "*.c.lab", "x.y.c.lab": "*.c.lab", "A.lab": "a.lab"} {
		if got, err := ask(name); err != nil || got != want+" got hello" {
			t.Errorf("%s: got %q, %v, want an answer of %s", name, got, err, want)
		}
	}
	for _, name := range []string{"d.lab", "c.lab", ""} {
		if got, err := ask(name); err == nil || !strings.Contains(err.Error(), "unrecognized name") {
			t.Errorf("%q: got %q, %v, want the alert that the name is not known", name, got, err)
		}
	}
	plain := connected(t, port)
	if _, err := io.WriteString(plain, "GET / HTTP/1.1\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if b, _ := io.ReadAll(plain); len(b) > 0 {
		t.Errorf("what is no TLS is answered with %q", b)
	}

	// A route of another app without a name can't have the port.
	p.Set(tcpApp(app.TCPRoute{External: port}, "127.0.0.1:1"))
	if got, err := ask("a.lab"); err != nil || got != "a.lab got hello" {
		t.Errorf("after a route without a name: %q, %v", got, err)
	}
	until(t, "all is counted", func() bool {
		var total uint64
		for _, c := range p.Counts() {
			if c.SNI != "" && c.Open == 0 && c.Received > 100 && c.Sent > 100 {
				total += c.Total
			}
		}
		return total == 6
	})
}

// A hello that comes in pieces is read to its end, and no further than that needs.
func TestHelloIsReadPieceByPiece(t *testing.T) {
	hello := helloOf(t, "piece.lab")
	near, far := net.Pipe()
	defer near.Close()
	go func() {
		for i := range hello {
			if _, err := far.Write(hello[i : i+1]); err != nil {
				return
			}
		}
	}()
	name, heard, err := serverName(context.Background(), near)
	if err != nil || name != "piece.lab" || !bytes.Equal(heard, hello) {
		t.Errorf("got %q, %d of %d bytes, %v", name, len(heard), len(hello), err)
	}
}

// helloOf returns what a client begins with.
func helloOf(t testing.TB, name string) []byte {
	t.Helper()
	near, far := net.Pipe()
	defer far.Close()
	go func() {
		_ = tls.Client(near, &tls.Config{ServerName: name}).Handshake()
		near.Close()
	}()
	b := make([]byte, maxHello)
	n, err := far.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return b[:n]
}

// said is a connection of which all is there that will ever come.
type said struct {
	net.Conn
	r io.Reader
}

func (s said) Read(p []byte) (int, error)      { return s.r.Read(p) }
func (s said) SetReadDeadline(time.Time) error { return nil }
func (s said) Close() error                    { return nil }

func FuzzServerName(f *testing.F) {
	hello := helloOf(f, "fuzz.lab")
	f.Add(hello)
	f.Add(hello[:len(hello)/2])
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Add(append([]byte{22, 3, 1, 255, 255}, bytes.Repeat([]byte{1}, 1<<16)...))
	for i := 0; i < len(hello); i += 31 {
		odd := bytes.Clone(hello)
		odd[i] ^= 0xff
		f.Add(odd)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		name, heard, err := serverName(context.Background(), said{r: bytes.NewReader(data)})
		if len(heard) > maxHello || !bytes.HasPrefix(data, heard) {
			t.Fatalf("heard %d bytes that were not said", len(heard))
		}
		if err == nil && (len(heard) == 0 || len(name) > 1<<16 || name != strings.ToLower(name)) {
			t.Fatalf("the name %s of %d bytes", strconv.Quote(name), len(heard))
		}
	})
}

func TestConnectionsAreTold(t *testing.T) {
	told := make(chan *Access, 10)
	p := NewPorts(PortsConfig{Host: "127.0.0.1", OnConnection: func(a *Access) { told <- a }})
	runPorts(t, p)
	addr := listening(t, afterEOF)
	port := unusedPort(t)
	p.Set(tcpApp(app.TCPRoute{External: port}, addr))
	conn := connected(t, port)
	_, _ = io.WriteString(conn, "hello")
	until(t, "the open connection is counted", func() bool {
		c := p.Counts()[0]
		return c.Open == 1 && c.Total == 1 && c.Received == 5
	})
	_ = conn.CloseWrite()
	if b, err := io.ReadAll(conn); err != nil || string(b) != "HELLO" {
		t.Fatalf("got %q %v", b, err)
	}
	conn.Close()
	a := <-told
	if a.App != "db" || a.Index != 0 || a.Addr != addr || a.Client != "127.0.0.1" || a.Target != ":"+strconv.Itoa(port) || a.Received != 5 || a.Sent != 5 || a.Failure != "" {
		t.Errorf("told %+v", *a)
	}

	p.Set(tcpApp(app.TCPRoute{External: port})) // nobody is there
	_, _ = io.ReadAll(connected(t, port))
	if a = <-told; a.Index != -1 || !strings.Contains(a.Failure, "no healthy instance") {
		t.Errorf("told %+v", *a)
	}
	if c := p.Counts()[0]; c.Open != 0 || c.Failed < 1 || c.Total != c.Failed+1 || c.Received != 5 || c.Sent != 5 {
		t.Errorf("counted %+v", c)
	}
	p.Remove("db")
	if c := p.Counts(); len(c) != 0 {
		t.Errorf("a route that is gone is counted: %+v", c)
	}
}
