package api

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/coder/websocket"

	"lattice/app"
)

// Exec opens a session in an instance of the app, for app.NoIndex in any that
// runs. How it goes on is told by what the link brings; its last frame is an
// app.SessionEnd.
func (c *Client) Exec(ctx context.Context, name string, index int, r app.SessionRequest) (app.Link, error) {
	path := "/apps/" + url.PathEscape(name) + "/exec"
	if index != app.NoIndex {
		path += "?index=" + strconv.Itoa(index)
	}
	return c.begin(ctx, path, r)
}

// ExecTask is Exec in the container of a task.
func (c *Client) ExecTask(ctx context.Context, name string, r app.SessionRequest) (app.Link, error) {
	return c.begin(ctx, "/tasks/"+url.PathEscape(name)+"/exec", r)
}

func (c *Client) begin(ctx context.Context, path string, r app.SessionRequest) (app.Link, error) {
	if err := r.Validate(); err != nil {
		return nil, err
	}
	l, err := c.link(ctx, path)
	if err != nil {
		return nil, err
	}
	if err := app.SendControl(l, r); err != nil {
		l.Abort()
		return nil, c.broken(ctx, err)
	}
	return l, nil
}

// link upgrades a request to a link.
func (c *Client) link(ctx context.Context, path string) (app.Link, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.timeout, c.slow())
	defer cancel()
	header := http.Header{}
	if c.token != "" {
		header.Set("Authorization", "Bearer "+c.token)
	}
	var refused error
	client := *c.http
	client.Transport = answers{c.http.Transport, func(resp *http.Response) {
		defer resp.Body.Close()
		refused = c.refusal(resp)
	}}
	conn, _, err := websocket.Dial(ctx, c.base+"/api/v1"+path, &websocket.DialOptions{
		HTTPClient: &client, HTTPHeader: header, CompressionMode: websocket.CompressionDisabled,
	})
	switch {
	case refused != nil:
		return nil, refused
	case err != nil:
		return nil, c.broken(ctx, err)
	}
	return newSocket(conn, maxSilence), nil
}

// answers hands on requests, and shows answers that are no upgrade while they
// can still be read as a whole.
type answers struct {
	http.RoundTripper
	refused func(*http.Response)
}

// RoundTrip implements http.RoundTripper.
func (a answers) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := a.RoundTripper.RoundTrip(r)
	if err == nil && resp.StatusCode != http.StatusSwitchingProtocols {
		a.refused(resp)
		return nil, fmt.Errorf("the answer was %s", resp.Status)
	}
	return resp, err
}

// Sessions calls fn with all sessions that wait for the cell, at once and at
// each change.
func (c *Client) Sessions(ctx context.Context, cell string, fn func([]app.Session) error) error {
	return c.stream(ctx, "/cells/"+url.PathEscape(cell)+"/sessions", each(fn))
}

// Attend connects the cell to a session that waits for it.
func (c *Client) Attend(ctx context.Context, cell, id string) (app.Link, error) {
	return c.link(ctx, "/cells/"+url.PathEscape(cell)+"/sessions/"+url.PathEscape(id))
}

// An SSHKey is a public key that opens the SSH port.
type SSHKey struct {
	Name        string    `json:"name"`
	Fingerprint string    `json:"fingerprint"` // SHA256:…
	Type        string    `json:"type"`        // such as ssh-ed25519
	User        string    `json:"user"`        // who added it, and in whose name it is used
	CreatedAt   time.Time `json:"created_at"`
}

// An SSHKeyRequest adds one.
type SSHKeyRequest struct {
	Name string `json:"name"`
	Key  string `json:"key"` // as in a .pub file of OpenSSH

	User string `json:"-"` // who asks
}

// SSHKeys lists the public keys that open the SSH port.
func (c *Client) SSHKeys(ctx context.Context) ([]SSHKey, error) {
	return get[[]SSHKey](ctx, c, "/ssh-keys")
}

// AddSSHKey adds a public key.
func (c *Client) AddSSHKey(ctx context.Context, r SSHKeyRequest) (SSHKey, error) {
	var out SSHKey
	err := c.call(ctx, http.MethodPost, "/ssh-keys", r, &out)
	return out, err
}

// RemoveSSHKey removes a public key. Sessions that it opened end.
func (c *Client) RemoveSSHKey(ctx context.Context, name string) error {
	return c.call(ctx, http.MethodDelete, "/ssh-keys/"+url.PathEscape(name), nil, nil)
}
