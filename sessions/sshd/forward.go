package sshd

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"strconv"

	"golang.org/x/crypto/ssh"

	"lattice/app"
)

// The payloads of forwarding, RFC 4254 section 7.
type (
	dialRequest struct {
		Host     string
		Port     uint32
		FromHost string
		FromPort uint32
	}
	listenRequest struct {
		Host string
		Port uint32
	}
	listenReply     struct{ Port uint32 }
	forwardedHeader struct {
		Host     string
		Port     uint32
		FromHost string
		FromPort uint32
	}
)

// dial carries a connection of the client's machine into the container.
func (c *client) dial(ctx context.Context, n ssh.NewChannel) {
	var d dialRequest
	err := ssh.Unmarshal(n.ExtraData(), &d)
	var link app.Link
	if err == nil {
		link, err = c.begin(ctx, app.SessionRequest{Kind: app.SessionDial, Host: d.Host, Port: int(min(d.Port, 65536))})
	}
	if err == nil {
		if _, err = app.AwaitOpening(link); err != nil {
			link.Abort()
		}
	}
	if err != nil {
		_ = n.Reject(ssh.ConnectionFailed, err.Error()) // else the client is gone
		return
	}
	ch, requests, err := n.Accept()
	if err != nil {
		link.Abort()
		return
	}
	go ssh.DiscardRequests(requests)
	_ = app.Splice(link, ch) // it ends as connections do
}

// global answers what concerns the connection as a whole.
func (c *client) global(ctx context.Context, r *ssh.Request) {
	ok, payload := false, []byte(nil)
	then := func() {} // what must not come before the answer
	switch r.Type {
	case "tcpip-forward":
		var l listenRequest
		if ssh.Unmarshal(r.Payload, &l) == nil {
			port, bring, err := c.listen(ctx, l)
			if ok = err == nil; ok && l.Port == 0 {
				payload = ssh.Marshal(listenReply{uint32(port)})
			}
			if ok {
				then = bring
			} else {
				c.server.cfg.Log.Debug("SSH client can't listen", "app", c.name, "err", err)
			}
		}
	case "cancel-tcpip-forward":
		var l listenRequest
		ok = ssh.Unmarshal(r.Payload, &l) == nil && c.unlisten(l)
	case "keepalive@openssh.com":
		ok = true
	}
	if r.WantReply {
		_ = r.Reply(ok, payload) // else the client is gone
	}
	then()
}

func (l listenRequest) String() string { return net.JoinHostPort(l.Host, strconv.Itoa(int(l.Port))) }

// listen listens inside the container for the client. bring begins to hand on
// the connections.
func (c *client) listen(ctx context.Context, l listenRequest) (port int, bring func(), err error) {
	if !take(c.channels) {
		return 0, nil, errors.New("too many channels are open")
	}
	host := l.Host
	if host == "" || host == "0.0.0.0" || host == "::" {
		host = "*"
	}
	place, err := c.server.cfg.Find(c.name, c.index)
	var link app.Link
	if err == nil {
		link, err = c.beginAt(ctx, place, app.SessionRequest{Kind: app.SessionListen, Host: host, Port: int(min(l.Port, 65536))})
	}
	var opening app.SessionOpening
	if err == nil {
		if opening, err = app.AwaitOpening(link); err != nil {
			link.Abort()
		}
	}
	if err != nil {
		<-c.channels
		return 0, nil, err
	}
	l.Port = uint32(opening.Port)
	c.mu.Lock()
	c.listeners[l.String()] = link
	c.mu.Unlock()
	return opening.Port, func() {
		c.open.Go(func() {
			defer func() { <-c.channels }()
			c.bring(ctx, link, place, l)
			c.unlisten(l)
		})
	}, nil
}

func (c *client) unlisten(l listenRequest) bool {
	c.mu.Lock()
	link, ok := c.listeners[l.String()]
	delete(c.listeners, l.String())
	c.mu.Unlock()
	if ok {
		link.Abort()
	}
	return ok
}

// bring hands on the connections that a session tells of, until it ends.
func (c *client) bring(ctx context.Context, link app.Link, place app.SessionPlace, l listenRequest) {
	defer context.AfterFunc(ctx, link.Abort)()
	for {
		ch, data, err := link.Receive()
		if err != nil || ch == app.ChanEnd {
			return
		}
		var m app.SessionControl
		if ch != app.ChanControl || json.Unmarshal(data, &m) != nil || m.Accepted == nil {
			continue
		}
		if !take(c.channels) {
			c.server.cfg.Log.Warn("a connection is dropped: too many channels are open", "app", c.name, "user", c.guest.Name)
			continue
		}
		c.open.Go(func() {
			defer func() { <-c.channels }()
			if err := c.forward(ctx, place, l, *m.Accepted); err != nil {
				c.server.cfg.Log.Debug("connection not handed on", "app", c.name, "err", err)
			}
		})
	}
}

// forward hands one connection on.
func (c *client) forward(ctx context.Context, place app.SessionPlace, l listenRequest, a app.SessionAccepted) error {
	host, port, err := net.SplitHostPort(a.From)
	if err != nil {
		return err
	}
	from, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return err
	}
	ch, requests, err := c.conn.OpenChannel("forwarded-tcpip", ssh.Marshal(forwardedHeader{l.Host, l.Port, host, uint32(from)}))
	if err != nil {
		return err
	}
	go ssh.DiscardRequests(requests)
	link, err := c.beginAt(ctx, place, app.SessionRequest{Kind: app.SessionAccept, Conn: a.Conn})
	if err == nil {
		if _, err = app.AwaitOpening(link); err != nil {
			link.Abort()
		}
	}
	if err != nil {
		return errors.Join(err, ch.Close())
	}
	return app.Splice(link, ch)
}
