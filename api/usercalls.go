package api

import (
	"context"
	"net/http"
	"net/url"
)

// Users returns who may use the brain beside who has the admin token.
func (c *Client) Users(ctx context.Context) ([]UserStatus, error) {
	return get[[]UserStatus](ctx, c, "/users")
}

// AddUser makes a user. It is ErrExists if the name is taken.
func (c *Client) AddUser(ctx context.Context, r UserRequest) (NewUser, error) {
	var out NewUser
	err := c.call(ctx, http.MethodPost, "/users", r, &out)
	return out, err
}

// ChangeUser gives a user another password or another token.
func (c *Client) ChangeUser(ctx context.Context, name string, r UserChange) (NewUser, error) {
	var out NewUser
	err := c.call(ctx, http.MethodPut, "/users/"+url.PathEscape(name), r, &out)
	return out, err
}

// RemoveUser removes a user, and closes what it has open.
func (c *Client) RemoveUser(ctx context.Context, name string) error {
	return c.call(ctx, http.MethodDelete, "/users/"+url.PathEscape(name), nil, nil)
}

// LoginLink returns what logs a browser in as who the client is, once.
func (c *Client) LoginLink(ctx context.Context) (LoginLink, error) {
	var out LoginLink
	err := c.call(ctx, http.MethodPost, "/session/link", nil, &out)
	return out, err
}

// Whoami returns who the client is to the brain.
func (c *Client) Whoami(ctx context.Context) (Session, error) {
	return get[Session](ctx, c, "/session")
}

// Transport carries requests to the brain and knows its certificate. It sends no
// token of its own.
func (c *Client) Transport() http.RoundTripper { return c.http.Transport }
