package api

import (
	"context"
	"net/http"
	"net/url"
)

// Join introduces a cell. It wants the join token.
func (c *Client) Join(ctx context.Context, r JoinRequest) (JoinReply, error) {
	var out JoinReply
	err := c.call(ctx, http.MethodPost, "/join", r, &out)
	return out, err
}

// Renew returns a further certificate for the cell, in PEM, for its request.
func (c *Client) Renew(ctx context.Context, cell string, csr []byte) ([]byte, error) {
	var out Renewal
	err := c.call(ctx, http.MethodPost, cellPath(cell)+"/certificate", Renewal{CSR: string(csr)}, &out)
	return []byte(out.Certificate), err
}

// Membership calls fn with what the cell must know to be among the others, at
// once and whenever it has changed, as WatchApp does.
func (c *Client) Membership(ctx context.Context, cell string, fn func(Membership) error) error {
	return c.stream(ctx, cellPath(cell)+"/membership", each(fn))
}

// Confirm tells the brain that the cell goes by the gossip keys of a revision.
func (c *Client) Confirm(ctx context.Context, cell string, revision uint64) error {
	return c.call(ctx, http.MethodPost, cellPath(cell)+"/ring", Confirmation{revision}, nil)
}

// RevokeCell puts a cell out of the cluster. It is ErrNotFound if no cell of
// that ID has joined.
func (c *Client) RevokeCell(ctx context.Context, cell string) (Revocation, error) {
	var out Revocation
	err := c.call(ctx, http.MethodPost, cellPath(cell)+"/revoke", nil, &out)
	return out, err
}

// RotateGossip replaces the key of gossip and returns when that is done.
func (c *Client) RotateGossip(ctx context.Context) (Rotation, error) {
	var out Rotation
	err := c.call(ctx, http.MethodPost, "/gossip/rotate", nil, &out)
	return out, err
}

// Tokens returns the join tokens, oldest first, and those that ended lately.
func (c *Client) Tokens(ctx context.Context) ([]TokenStatus, error) {
	return get[[]TokenStatus](ctx, c, "/tokens")
}

// CreateToken makes a join token.
func (c *Client) CreateToken(ctx context.Context, r TokenRequest) (NewToken, error) {
	var out NewToken
	err := c.call(ctx, http.MethodPost, "/tokens", r, &out)
	return out, err
}

// RevokeToken makes a join token useless. Cells that joined with it stay.
func (c *Client) RevokeToken(ctx context.Context, id string) error {
	return c.call(ctx, http.MethodDelete, "/tokens/"+url.PathEscape(id), nil, nil)
}
