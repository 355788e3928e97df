// Package sshd is the SSH port of the brain: for plain ssh, scp, sftp, and what
// builds on them. The user APP/INDEX is an instance, APP any of the app or a
// task; the password is a token, or a public key is known here. What goes on
// inside a container is the cell's; here SSH becomes sessions and nothing else.
// A Server is safe for concurrent use.
package sshd

import (
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"lattice/app"
)

// A Guest is who is let in.
type Guest struct {
	Name    string
	Welcome func() error // says why the guest must go, if that is so by now
}

// Config of a Server. All fields are needed.
type Config struct {
	HostKey HostKey
	Keys    *Keys

	// Password tells whose token that is, User who somebody is that added a
	// key. What they refuse is app.ErrUnauthorized.
	Password func(token string) (Guest, error)
	User     func(name string) (Guest, error)

	// Find returns where an instance of an app, for app.NoIndex any, or a task
	// runs.
	Find func(name string, index int) (app.SessionPlace, error)

	// Open returns a session that ends with in.
	Open func(ctx, in context.Context, o app.SessionOrder) (app.Link, error)

	Log *slog.Logger
}

const (
	maxConns     = 500
	maxLogins    = 50 // connections that have not logged in yet
	loginTime    = 30 * time.Second
	maxAuthTries = 6
	maxChannels  = 200 // of one connection

	welcomeEvery   = 5 * time.Second
	keepAliveEvery = 30 * time.Second
	deadAfter      = 90 * time.Second
)

// A Server serves the SSH port.
type Server struct {
	cfg    Config
	brakes brakes
	conns  chan struct{} // holds a token for each connection
	logins chan struct{} // and for each that has not logged in
	open   sync.WaitGroup
}

// New returns a Server.
func New(cfg Config) *Server {
	return &Server{cfg: cfg, conns: make(chan struct{}, maxConns), logins: make(chan struct{}, maxLogins)}
}

// Serve serves ln until ctx is done, and then closes all connections.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	defer s.open.Wait()
	defer context.AfterFunc(ctx, func() { ln.Close() })()
	for {
		conn, err := ln.Accept()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("the SSH port was closed: %w", err)
		case err != nil:
			s.cfg.Log.Warn("the SSH port takes no connections for a moment", "err", err)
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
			continue
		}
		if !take(s.conns) {
			s.cfg.Log.Warn("SSH connection refused: too many are open", "addr", conn.RemoteAddr())
			conn.Close()
			continue
		}
		if !take(s.logins) {
			s.cfg.Log.Warn("SSH connection refused: too many are logging in", "addr", conn.RemoteAddr())
			conn.Close()
			<-s.conns
			continue
		}
		s.open.Go(func() {
			defer func() { <-s.conns }()
			s.serve(ctx, conn)
		})
	}
}

func take(c chan struct{}) bool {
	select {
	case c <- struct{}{}:
		return true
	default:
		return false
	}
}

// serve leads a connection from its login, for which it has a token, to its end.
func (s *Server) serve(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	c := &client{server: s, addr: conn.RemoteAddr(), channels: make(chan struct{}, maxChannels), listeners: map[string]app.Link{}}
	_ = conn.SetDeadline(time.Now().Add(loginTime)) // a TCP connection takes one
	var requests <-chan *ssh.Request
	var channels <-chan ssh.NewChannel
	var err error
	c.conn, channels, requests, err = ssh.NewServerConn(conn, c.config())
	<-s.logins
	if err != nil {
		s.cfg.Log.Debug("SSH login failed", "addr", c.addr, "err", err)
		return
	}
	_ = conn.SetDeadline(time.Time{})
	c.run(ctx, channels, requests)
}

// config returns the rules of the login.
func (c *client) config() *ssh.ServerConfig {
	s := c.server
	cfg := &ssh.ServerConfig{
		MaxAuthTries:  maxAuthTries,
		ServerVersion: "SSH-2.0-lattice",
		PasswordCallback: func(m ssh.ConnMetadata, password []byte) (*ssh.Permissions, error) {
			return nil, c.login(m, func() (Guest, error) { return s.cfg.Password(string(password)) })
		},
		PublicKeyCallback: func(m ssh.ConnMetadata, public ssh.PublicKey) (*ssh.Permissions, error) {
			return c.offer(m, public)
		},
		VerifiedPublicKeyCallback: func(m ssh.ConnMetadata, public ssh.PublicKey, p *ssh.Permissions, _ string) (*ssh.Permissions, error) {
			return p, c.login(m, func() (Guest, error) { return s.byKey(public) })
		},
	}
	cfg.AddHostKey(s.cfg.HostKey.signer)
	return cfg
}

// offer says whether to go on with a key. One that isn't known is no failed
// login: clients offer all they have.
func (c *client) offer(_ ssh.ConnMetadata, public ssh.PublicKey) (*ssh.Permissions, error) {
	if _, err := c.server.byKey(public); err != nil {
		return nil, err
	}
	return &ssh.Permissions{}, nil
}

// byKey returns whom the key lets in, as long as it is known and its user may.
func (s *Server) byKey(public ssh.PublicKey) (Guest, error) {
	key, ok := s.cfg.Keys.find(public)
	if !ok {
		return Guest{}, app.Unauthorized("the key is not known here")
	}
	g, err := s.cfg.User(key.User)
	if err != nil {
		return Guest{}, err
	}
	return Guest{Name: g.Name, Welcome: func() error {
		if _, ok := s.cfg.Keys.find(public); !ok {
			return app.Unauthorized("the key %s was removed", key.Name)
		}
		return g.Welcome()
	}}, nil
}

// login lets the client in that who knows, unless it failed too often. The user
// is looked at last, so that nobody learns without a token which apps there are.
func (c *client) login(m ssh.ConnMetadata, who func() (Guest, error)) error {
	s := c.server
	if left := s.brakes.left(c.addr, time.Now()); left > 0 {
		return &ssh.BannerError{Err: errors.New("too many failed logins"), Message: fmt.Sprintf("Too many failed logins from your address: wait %v.\r\n", left.Round(time.Second))}
	}
	g, err := who()
	if err != nil {
		s.brakes.failed(c.addr, time.Now())
		s.cfg.Log.Warn("SSH login refused", "addr", c.addr, "reason", err)
		return err
	}
	s.brakes.forgive(c.addr)
	c.guest = g
	if c.name, c.index, err = parseUser(m.User()); err != nil {
		return &ssh.BannerError{Err: err, Message: err.Error() + "\r\n"}
	}
	if _, err := s.cfg.Find(c.name, c.index); err != nil {
		return &ssh.BannerError{Err: err, Message: err.Error() + "\r\n"}
	}
	return nil
}

// parseUser reads APP or APP/INDEX.
func parseUser(user string) (name string, index int, err error) {
	name, number, ok := strings.Cut(user, "/")
	if !ok {
		return name, app.NoIndex, nil
	}
	n, err := strconv.ParseUint(number, 10, 31)
	if err != nil {
		return "", 0, fmt.Errorf("%.100q is no instance: the user must be APP or APP/INDEX, such as web/0", user)
	}
	return name, int(n), nil
}

func rsaBits(public ssh.PublicKey) int {
	if c, ok := public.(ssh.CryptoPublicKey); ok {
		if k, ok := c.CryptoPublicKey().(*rsa.PublicKey); ok {
			return k.N.BitLen()
		}
	}
	return 0
}
