package api_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"lattice/api"
	"lattice/app"
)

// trusting notes what it is asked, and has an answer to everything.
type trusting struct{ got []any }

func (tr *trusting) note(v ...any) { tr.got = append(tr.got, v...) }

func membership() api.Membership {
	return api.Membership{Cluster: "s", Domain: "d", Gossip: []string{"a:1"}, Ring: api.Ring{Revision: 3, Keys: [][]byte{{1}, {2}}}}
}

func (tr *trusting) Join(r api.JoinRequest) (api.JoinReply, error) {
	tr.note(r)
	return api.JoinReply{Certificate: "cert", Membership: membership()}, nil
}

func (tr *trusting) Renew(cell string, csr []byte) ([]byte, error) {
	tr.note(cell, string(csr))
	return []byte("fresh"), nil
}

func (tr *trusting) Membership(cell string) (api.Membership, error) {
	tr.note(cell)
	return membership(), nil
}

func (tr *trusting) Confirm(cell string, revision uint64) { tr.note(cell, revision) }

func (tr *trusting) Revoke(cell string) (api.Revocation, error) {
	tr.note(cell)
	return api.Revocation{Cell: cell, Tokens: []string{"t"}}, nil
}

func (tr *trusting) RotateGossip(context.Context) (api.Rotation, error) {
	return api.Rotation{Cells: []string{"c"}, Missing: []string{}, Took: 7}, nil
}

func (tr *trusting) Tokens() []api.TokenStatus { return []api.TokenStatus{{ID: "t"}} }

func (tr *trusting) CreateToken(r api.TokenRequest) (api.NewToken, error) {
	tr.note(r)
	return api.NewToken{TokenStatus: api.TokenStatus{ID: "t"}, Token: "secret"}, nil
}

func (tr *trusting) RevokeToken(id string) error { tr.note(id); return nil }

func TestTrustIsAskedForWhatIsItsOwn(t *testing.T) {
	tr := &trusting{}
	b := start(t, &backend{trust: tr})
	ctx := within(t, 20*time.Second)
	enough := errors.New("enough")
	for _, tt := range []struct {
		name     string
		call     func() (any, error)
		answer   any
		received []any
	}{
		{"join", func() (any, error) {
			return b.client(t, joinToken).Join(ctx, api.JoinRequest{Cell: "c", Version: "1", CSR: "csr", Token: "not this", Addr: "nor this"})
		}, api.JoinReply{Certificate: "cert", Membership: membership()}, []any{api.JoinRequest{Cell: "c", Version: "1", CSR: "csr", Token: joinToken, Addr: "127.0.0.1"}}},
		{"renew", func() (any, error) { return b.cell.Renew(ctx, "c", []byte("csr")) }, []byte("fresh"), []any{"c", "csr"}},
		{"membership", func() (any, error) {
			var m api.Membership
			return &m, stop(enough, b.cell.Membership(ctx, "c", func(now api.Membership) error { m = now; return enough }))
		}, func() *api.Membership { m := membership(); return &m }(), []any{"c"}},
		{"confirm", func() (any, error) { return nil, b.cell.Confirm(ctx, "c", 3) }, nil, []any{"c", uint64(3)}},
		{"revoke", func() (any, error) { return b.user.RevokeCell(ctx, "c") }, api.Revocation{Cell: "c", Tokens: []string{"t"}}, []any{"c"}},
		{"rotate", func() (any, error) { return b.user.RotateGossip(ctx) }, api.Rotation{Cells: []string{"c"}, Missing: []string{}, Took: 7}, nil},
		{"tokens", func() (any, error) { return b.user.Tokens(ctx) }, []api.TokenStatus{{ID: "t"}}, nil},
		{"token", func() (any, error) { return b.user.CreateToken(ctx, api.TokenRequest{Uses: 2}) },
			api.NewToken{TokenStatus: api.TokenStatus{ID: "t"}, Token: "secret"}, []any{api.TokenRequest{TTL: app.Duration(api.DefaultTokenTTL), Uses: 2}}},
		{"revoke token", func() (any, error) { return nil, b.user.RevokeToken(ctx, "t") }, nil, []any{"t"}},
	} {
		tr.got = nil
		answer, err := tt.call()
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if !reflect.DeepEqual(answer, tt.answer) {
			t.Errorf("%s: got %+v, want %+v", tt.name, answer, tt.answer)
		}
		if !reflect.DeepEqual(tr.got, tt.received) {
			t.Errorf("%s: the backend got %+v, want %+v", tt.name, tr.got, tt.received)
		}
	}
}

// stop is nil if err is the one that shall end a stream.
func stop(enough, err error) error {
	if errors.Is(err, enough) {
		return nil
	}
	return err
}

// doorkeeper lets cells in until they are put out.
type doorkeeper struct {
	api.Tokens
	in context.Context
}

func (d doorkeeper) Cell(cert *x509.Certificate) (string, context.Context, error) {
	if err := context.Cause(d.in); err != nil {
		return "", nil, err
	}
	return cert.Subject.CommonName, d.in, nil
}

func TestStreamsOfACellEndWhenItIsPutOut(t *testing.T) {
	in, putOut := context.WithCancelCause(t.Context())
	b := start(t, &backend{work: func(string) (app.Work, error) { return app.Work{}, nil }}, func(cfg *api.ServerConfig) {
		cfg.Auth = doorkeeper{Tokens: api.Tokens{User: api.HashToken(userToken)}, in: in}
	})
	ctx := within(t, 20*time.Second)
	err := b.cell.Work(ctx, "c", func(app.Work) error {
		putOut(app.Unauthorized("the cell c was put out"))
		return nil
	})
	if !errors.Is(err, app.ErrUnauthorized) || !strings.Contains(err.Error(), "put out") {
		t.Errorf("the stream ended with %v", err)
	}
	if err := b.cell.Report(ctx, app.Report{Cell: "c"}); !errors.Is(err, app.ErrUnauthorized) || !strings.Contains(err.Error(), "put out") {
		t.Errorf("a report afterwards: got %v", err)
	}
}

func TestOnlyACertificateOfTheCAIsOne(t *testing.T) {
	b := start(t, &backend{report: func(app.Report) error { t.Error("a report got through"); return nil }})
	ctx := within(t, 20*time.Second)
	ours, foreign := b.sign, newAuthority(t)
	for name, cert := range map[string]tls.Certificate{
		"of another CA":   foreign.client(t, "c"),
		"of a server":     ours.server(t, "c"),
		"none":            {},
		"of another cell": ours.client(t, "d"),
	} {
		c := b.client(t, "", func(cfg *api.ClientConfig) { cfg.Certificate = func() *tls.Certificate { return &cert } })
		if err := c.Report(ctx, app.Report{Cell: "c"}); err == nil {
			t.Errorf("a certificate %s was let in", name)
		} else {
			t.Logf("%s: %v", name, err)
		}
	}
}
