package sshd

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"lattice/app"
)

// A client is a connection, and who it is from.
type client struct {
	server *Server
	addr   net.Addr
	conn   *ssh.ServerConn

	guest Guest
	name  string // of the app or the task
	index int

	channels chan struct{} // holds a token for each that is open
	open     sync.WaitGroup

	mu        sync.Mutex // guards what follows
	listeners map[string]app.Link
}

// run serves what the client asks for until it leaves or has to.
func (c *client) run(ctx context.Context, channels <-chan ssh.NewChannel, requests <-chan *ssh.Request) {
	ctx, end := context.WithCancelCause(ctx)
	defer c.open.Wait()
	defer end(errors.New("the client left"))
	c.server.cfg.Log.Info("SSH login", "app", c.name, "user", c.guest.Name, "addr", c.addr)
	c.open.Go(func() { c.watch(ctx, end) })
	c.open.Go(func() { c.keepAlive(ctx) })
	c.open.Go(func() {
		for r := range requests {
			c.global(ctx, r)
		}
	})
	for n := range channels {
		if !take(c.channels) {
			_ = n.Reject(ssh.ResourceShortage, "too many channels are open") // else the client is gone
			continue
		}
		c.open.Go(func() {
			defer func() { <-c.channels }()
			c.channel(ctx, n)
		})
	}
}

// watch sends the client away when it isn't welcome any more.
func (c *client) watch(ctx context.Context, end context.CancelCauseFunc) {
	tick := time.NewTicker(welcomeEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := c.guest.Welcome(); err != nil {
			c.server.cfg.Log.Info("SSH connection ended", "user", c.guest.Name, "addr", c.addr, "reason", err)
			end(err)
			time.AfterFunc(time.Second, func() { c.conn.Close() }) // by then the sessions have told why
			return
		}
	}
}

// keepAlive notices a client that is gone without a word.
func (c *client) keepAlive(ctx context.Context) {
	tick := time.NewTicker(keepAliveEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		dead := time.AfterFunc(deadAfter, func() { c.conn.Close() })
		_, _, err := c.conn.SendRequest("keepalive@openssh.com", true, nil)
		dead.Stop()
		if err != nil {
			return
		}
	}
}

// begin opens a session where the instance is now, which may have changed since
// the login.
func (c *client) begin(ctx context.Context, r app.SessionRequest) (app.Link, error) {
	place, err := c.server.cfg.Find(c.name, c.index)
	if err != nil {
		return nil, err
	}
	return c.beginAt(ctx, place, r)
}

func (c *client) beginAt(ctx context.Context, place app.SessionPlace, r app.SessionRequest) (app.Link, error) {
	if err := r.Validate(); err != nil {
		return nil, err
	}
	return c.server.cfg.Open(ctx, ctx, app.SessionOrder{Actor: c.guest.Name, Place: place, Request: r})
}

func (c *client) channel(ctx context.Context, n ssh.NewChannel) {
	switch n.ChannelType() {
	case "session":
		c.session(ctx, n)
	case "direct-tcpip":
		c.dial(ctx, n)
	default:
		_ = n.Reject(ssh.UnknownChannelType, "lattice has no "+n.ChannelType()) // else the client is gone
	}
}
