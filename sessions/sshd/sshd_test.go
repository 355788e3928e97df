package sshd_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"lattice/app"
	"lattice/sessions/sessionstest"
	"lattice/sessions/sshd"
)

// A port is a server on loopback whose sessions a test plays.
type port struct {
	addr string
	host sshd.HostKey
	keys *sshd.Keys
	gone atomic.Bool // the user must go
	play func(r app.SessionRequest, cell app.Link)
}

func save(path string, data []byte) error { return os.WriteFile(path, data, 0o600) }

// serve serves until the end of the test.
func serve(t *testing.T, play func(app.SessionRequest, app.Link)) *port {
	t.Helper()
	dir := t.TempDir()
	p := &port{play: play}
	var err, err2 error
	p.host, err = sshd.OpenHostKey(filepath.Join(dir, "host"), save)
	p.keys, err2 = sshd.OpenKeys(filepath.Join(dir, "keys"), save)
	ln, err3 := net.Listen("tcp", "127.0.0.1:0")
	if err := errors.Join(err, err2, err3); err != nil {
		t.Fatal(err)
	}
	p.addr = ln.Addr().String()
	guest := sshd.Guest{Name: "ann", Welcome: func() error {
		if p.gone.Load() {
			return errors.New("ann was removed")
		}
		return nil
	}}
	s := sshd.New(sshd.Config{
		HostKey: p.host, Keys: p.keys, Log: slog.New(slog.DiscardHandler),
		Password: func(token string) (sshd.Guest, error) {
			if token != "right" {
				return sshd.Guest{}, app.Unauthorized("the token is not known here")
			}
			return guest, nil
		},
		User: func(name string) (sshd.Guest, error) { return guest, guest.Welcome() },
		Find: func(name string, index int) (app.SessionPlace, error) {
			if name != "web" || index > 2 {
				return app.SessionPlace{}, fmt.Errorf("there is no %s: %w", name, app.ErrNotFound)
			}
			return app.SessionPlace{App: name, Index: index}, nil
		},
		Open: func(_, in context.Context, o app.SessionOrder) (app.Link, error) {
			if o.Actor != "ann" {
				t.Errorf("actor %q", o.Actor)
			}
			brain, cell := sessionstest.Pair()
			context.AfterFunc(in, brain.Abort)
			go p.play(o.Request, cell)
			return brain, nil
		},
	})
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, ln) }()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return p
}

// dial logs in. said is what the server tells before.
func (p *port) dial(user string, auth ...ssh.AuthMethod) (c *ssh.Client, said string, err error) {
	var banner strings.Builder
	c, err = ssh.Dial("tcp", p.addr, &ssh.ClientConfig{
		User: user, Auth: auth, Timeout: 30 * time.Second,
		HostKeyCallback: func(_ string, _ net.Addr, key ssh.PublicKey) error {
			if ssh.FingerprintSHA256(key) != p.host.Fingerprint() {
				return errors.New("wrong host key")
			}
			return nil
		},
		BannerCallback: func(text string) error { banner.WriteString(text); return nil },
	})
	return c, banner.String(), err
}

func (p *port) mustDial(t *testing.T) *ssh.Client {
	t.Helper()
	c, said, err := p.dial("web/1", ssh.Password("right"))
	if err != nil {
		t.Fatal(err, said)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// copier answers a session with what it was asked for, and its input.
func copier(r app.SessionRequest, cell app.Link) {
	_ = app.SendControl(cell, app.SessionControl{Opened: &app.SessionOpening{}})
	_ = cell.Send(app.ChanOut, fmt.Appendf(nil, "%s %q %v %q %v %q\n", r.Kind, r.Line, r.TTY, r.Term, r.Size, r.Env))
	for {
		ch, data, err := cell.Receive()
		switch {
		case err != nil:
			return
		case ch == app.ChanControl:
			_ = cell.Send(app.ChanErr, data)
		case ch == app.ChanIn && len(data) == 0:
			_ = app.SendEnd(cell, app.SessionEnd{Code: 7})
			return
		case ch == app.ChanIn:
			_ = cell.Send(app.ChanOut, data)
		}
	}
}

func TestWhoIsLetIn(t *testing.T) {
	p := serve(t, copier)
	for _, tt := range []struct{ user, password, says string }{
		{"web", "right", ""},
		{"web/2", "right", ""},
		{"web/3", "right", "there is no web"},
		{"none", "right", "there is no none"},
		{"web/x", "right", "APP/INDEX"},
		{"web", "wrong", "unable to authenticate"},
		{"none", "wrong", "unable to authenticate"},
	} {
		c, said, err := p.dial(tt.user, ssh.Password(tt.password))
		if tt.says == "" && err != nil || tt.says != "" && (err == nil || !strings.Contains(said+err.Error(), tt.says)) {
			t.Errorf("%s with %s: %q %v", tt.user, tt.password, said, err)
		}
		if tt.password == "wrong" && strings.Contains(said, "none") {
			t.Errorf("a stranger learns which apps there are: %q", said)
		}
		if err == nil {
			c.Close()
		}
	}
}

func TestWhoFailsOftenHasToWait(t *testing.T) {
	p := serve(t, copier)
	for range 5 {
		if _, said, err := p.dial("web", ssh.Password("wrong")); err == nil || said != "" {
			t.Fatalf("%q %v", said, err)
		}
	}
	if _, said, err := p.dial("web", ssh.Password("right")); err == nil || !strings.Contains(said, "Too many failed logins") {
		t.Errorf("after five failures: %q %v", said, err)
	}
}

func TestKeysLetIn(t *testing.T) {
	p := serve(t, copier)
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := p.dial("web", ssh.PublicKeys(signer)); err == nil {
		t.Error("a key that is not known lets in")
	}
	if _, err := p.keys.Add("laptop", "ann", string(ssh.MarshalAuthorizedKey(signer.PublicKey()))); err != nil {
		t.Fatal(err)
	}
	c, _, err := p.dial("web", ssh.PublicKeys(signer))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := p.keys.Remove("laptop"); err != nil {
		t.Fatal(err)
	}
	over := make(chan error, 1)
	go func() { over <- c.Wait() }()
	select {
	case <-over:
	case <-time.After(60 * time.Second):
		t.Error("a connection outlives its key")
	}
}

func TestSessions(t *testing.T) {
	c := serve(t, copier).mustDial(t)
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	s.Stdout, s.Stderr = &out, &errs
	in, err := s.StdinPipe()
	for _, err := range []error{err, s.Setenv("A", "b"), s.RequestPty("vt100", 40, 100, nil), s.Start("ls -l")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(s.WindowChange(41, 101), s.Signal(ssh.SIGTERM)); err != nil {
		t.Error(err)
	}
	if _, err := io.WriteString(in, "x"); err != nil {
		t.Fatal(err)
	}
	in.Close()
	var exit *ssh.ExitError
	if err := s.Wait(); !errors.As(err, &exit) || exit.ExitStatus() != 7 {
		t.Errorf("got %v, want exit status 7", err)
	}
	if want := `shell "ls -l" true "vt100" {100 40} ["A=b"]` + "\n" + "x"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
	if want := `{"resize":{"cols":101,"rows":41}}{"signal":"TERM"}`; errs.String() != want && !strings.HasPrefix(want, errs.String()) {
		t.Errorf("controls: %q, want %q", errs.String(), want)
	}
	s, err = c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.RequestSubsystem("netconf"); err == nil {
		t.Error("an unknown subsystem starts")
	}
	if b, err := s.Output("x"); err == nil || len(b) > 0 && !strings.HasPrefix(string(b), "shell") {
		t.Errorf("after an unknown subsystem: %q %v", b, err)
	}
}

func TestManySessionsOnOneConnection(t *testing.T) {
	c := serve(t, copier).mustDial(t)
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			s, err := c.NewSession()
			if err != nil {
				t.Error(err)
				return
			}
			text := strings.Repeat(fmt.Sprint(i), 10_000)
			s.Stdin = strings.NewReader(text)
			if b, err := s.Output("cat"); err == nil || !strings.HasSuffix(string(b), "\n"+text) {
				t.Errorf("%d: %d bytes, %v", i, len(b), err)
			}
		})
	}
	all.Wait()
}

func TestASessionThatBreaksSaysSo(t *testing.T) {
	p := serve(t, func(_ app.SessionRequest, cell app.Link) {
		_ = app.SendEnd(cell, app.SessionEnd{Code: app.SessionBroken, Reason: "the cell c1 is gone"})
	})
	s, err := p.mustDial(t).NewSession()
	if err != nil {
		t.Fatal(err)
	}
	var errs bytes.Buffer
	s.Stderr = &errs
	var exit *ssh.ExitError
	if err := s.Run("x"); !errors.As(err, &exit) || exit.ExitStatus() != 255 || errs.String() != "lattice: the cell c1 is gone\r\n" {
		t.Errorf("got %v %q", err, errs.String())
	}
}

func TestForwards(t *testing.T) {
	var mu sync.Mutex
	var asked []app.SessionRequest
	listening := make(chan struct{})
	p := serve(t, func(r app.SessionRequest, cell app.Link) {
		mu.Lock()
		asked = append(asked, r)
		mu.Unlock()
		switch {
		case r.Kind == app.SessionDial && r.Port == 1:
			_ = app.SendEnd(cell, app.SessionEnd{Code: app.SessionBroken, Reason: "nothing answers"})
		case r.Kind == app.SessionListen:
			_ = app.SendControl(cell, app.SessionControl{Opened: &app.SessionOpening{Port: 4242}})
			<-listening // Go's client takes no connection before it knows that it listens
			_ = app.SendControl(cell, app.SessionControl{Accepted: &app.SessionAccepted{Conn: "one", From: "10.0.0.9:5"}})
			_, _, _ = cell.Receive()
		default:
			copier(r, cell)
		}
	})
	c := p.mustDial(t)
	conn, err := c.Dial("tcp", "db:5432")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "hello"); err != nil {
		t.Fatal(err)
	}
	if err := conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Error(err)
	}
	if b, err := io.ReadAll(conn); err != nil || !strings.HasSuffix(string(b), "hello") {
		t.Errorf("got %q %v", b, err)
	}
	if _, err := c.Dial("tcp", "db:1"); err == nil || !strings.Contains(err.Error(), "nothing answers") {
		t.Errorf("refused: %v", err)
	}
	ln, err := c.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	close(listening)
	back, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if got := ln.Addr().(*net.TCPAddr).Port; got != 4242 {
		t.Errorf("listens on %d", got)
	}
	if from := back.RemoteAddr().String(); from != "10.0.0.9:5" {
		t.Errorf("comes from %s", from)
	}
	if _, err := back.Read(make([]byte, 1)); err != nil { // now the session has begun
		t.Error(err)
	}
	back.Close()
	if err := ln.Close(); err != nil {
		t.Error(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if asked[0].Host != "db" || asked[0].Port != 5432 || asked[2].Kind != app.SessionListen || asked[3].Conn != "one" {
		t.Errorf("asked for %+v", asked)
	}
}

func TestAGuestWhoMustGo(t *testing.T) {
	p := serve(t, copier)
	c := p.mustDial(t)
	p.gone.Store(true)
	over := make(chan error, 1)
	go func() { over <- c.Wait() }()
	select {
	case <-over:
	case <-time.After(60 * time.Second):
		t.Error("the connection goes on")
	}
}

func TestTheKeyStays(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	a, err := sshd.OpenHostKey(path, save)
	if err != nil {
		t.Fatal(err)
	}
	b, err := sshd.OpenHostKey(path, save)
	if err != nil || a.Fingerprint() != b.Fingerprint() || !strings.HasPrefix(b.Public(), "ssh-ed25519 ") {
		t.Errorf("got %s and %s, %v", a.Fingerprint(), b.Fingerprint(), err)
	}
	if err := os.WriteFile(path, []byte("SECRET damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := sshd.OpenHostKey(path, save); !errors.Is(err, app.ErrInvalid) || strings.Contains(err.Error(), "SECRET") {
		t.Errorf("damaged: %v", err)
	}
}

const goodKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIbN1gUMMlXK0v9YDPmoBdQbbBQ9Zp3wXlZZlF2nLw3l ann@laptop"

func TestKeysAreKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	k, err := sshd.OpenKeys(path, save)
	if err != nil {
		t.Fatal(err)
	}
	added, err := k.Add("", "ann", goodKey)
	if err != nil || added.Name != "ann@laptop" {
		t.Fatalf("%+v %v", added, err)
	}
	for name, text := range map[string]string{
		"nothing": "", "private": "-----BEGIN OPENSSH PRIVATE KEY-----\nx", "a name of several words": "ssh-ed25519 " + strings.Fields(goodKey)[1],
		"dsa": "ssh-dss AAAAB3NzaC1kc3MAAACBAP", "twice": goodKey, "long": strings.Repeat("x", 1<<20),
	} {
		if _, err := k.Add(name, "ann", text); !errors.Is(err, app.ErrInvalid) && !errors.Is(err, app.ErrExists) {
			t.Errorf("%s: %v", name, err)
		}
	}
	again, err := sshd.OpenKeys(path, save)
	if err != nil {
		t.Fatal(err)
	}
	if all := again.List(); len(all) != 1 || all[0].Name != "ann@laptop" || all[0].User != "ann" || all[0].Fingerprint() != added.Fingerprint() || !all[0].Created.Equal(added.Created) {
		t.Errorf("got %+v", all)
	}
	if err := again.Remove("none"); !errors.Is(err, app.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	if err := again.Remove("ann@laptop"); err != nil || len(again.List()) != 0 {
		t.Errorf("got %v", err)
	}
	if err := os.WriteFile(path, []byte("# fine\nodd line\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := sshd.OpenKeys(path, save); err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("damaged: %v", err)
	}
}

func FuzzAddKey(f *testing.F) {
	f.Add("n", goodKey)
	f.Fuzz(func(t *testing.T, name, text string) {
		path := filepath.Join(t.TempDir(), "keys")
		k, err := sshd.OpenKeys(path, save)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := k.Add(name, "ann", text); err != nil {
			return
		}
		if again, err := sshd.OpenKeys(path, save); err != nil || len(again.List()) != 1 {
			t.Fatalf("what was added can't be read: %v", err)
		}
	})
}

func TestGarbageIsSurvived(t *testing.T) {
	p := serve(t, copier)
	for _, text := range []string{"GET / HTTP/1.1\r\n\r\n", "SSH-2.0-x\r\n\x00\x00\xff\xff\xff\xff", strings.Repeat("x", 1<<16)} {
		conn, err := net.Dial("tcp", p.addr)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, text)
		conn.Close()
	}
	p.mustDial(t)
}
