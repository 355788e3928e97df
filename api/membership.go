package api

import (
	"context"
	"net"
	"net/http"
	"regexp"
	"time"

	"github.com/gin-gonic/gin"

	"lattice/app"
)

// Trust is the brain's say in who belongs to the cluster. All methods may be
// called concurrently.
type Trust interface {
	// Join lets a cell in that has a join token.
	Join(r JoinRequest) (JoinReply, error)

	// Renew returns a certificate, in PEM, for the request of a cell.
	Renew(cell string, csr []byte) ([]byte, error)

	// Membership is what the cell is to know now; Confirm is its word that it
	// goes by the gossip keys of that revision.
	Membership(cell string) (Membership, error)
	Confirm(cell string, revision uint64)

	// Changed returns a channel that is closed at the next change of what
	// Membership and Tokens return. Get it before you read them.
	Changed() <-chan struct{}

	// Revoke puts a cell out. RotateGossip replaces the key of gossip and
	// returns when that is done.
	Revoke(cell string) (Revocation, error)
	RotateGossip(ctx context.Context) (Rotation, error)

	Tokens() []TokenStatus // oldest first
	CreateToken(TokenRequest) (NewToken, error)
	RevokeToken(id string) error
}

// A JoinRequest is how a cell introduces itself.
type JoinRequest struct {
	Cell    string `json:"cell"` // its ID
	Version string `json:"version"`
	CSR     string `json:"csr"` // request for a certificate, in PEM

	Token string `json:"-"` // with which it asks
	Addr  string `json:"-"` // ip that it asks from
}

// A JoinReply is what a cell needs to take part. It is a secret.
type JoinReply struct {
	Certificate string `json:"certificate"` // of the cell, in PEM
	Membership
}

// A Membership is what a cell must know to be among the others. It is a secret.
type Membership struct {
	Cluster string   `json:"cluster"` // its name in gossip
	Domain  string   `json:"domain"`
	CA      string   `json:"ca,omitempty"` // of the cluster, in PEM
	Gossip  []string `json:"gossip"`       // host:port of members to meet
	Ring    Ring     `json:"ring"`
}

// A Ring is the keys of gossip (AES-256): the first seals, all are understood.
type Ring struct {
	Revision uint64   `json:"revision"`
	Keys     [][]byte `json:"keys"`
}

// A Renewal asks for a certificate; its answer is one. Both are PEM.
type Renewal struct {
	CSR         string `json:"csr,omitempty"`
	Certificate string `json:"certificate,omitempty"`
}

// A Confirmation says which gossip keys a cell goes by.
type Confirmation struct {
	Revision uint64 `json:"revision"`
}

// A Revocation says what else ended with the stay of a cell.
type Revocation struct {
	Cell   string   `json:"cell"`
	Tokens []string `json:"tokens"` // IDs of join tokens that it could have used again
}

// A Rotation says how a change of the gossip key went.
type Rotation struct {
	Cells   []string     `json:"cells"`   // that have the new key
	Missing []string     `json:"missing"` // that were not waited for any longer; they get it when they come back
	Took    app.Duration `json:"took"`
}

// cellID is what stands for a cell in paths, in gossip and on the screen.
var cellID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)

func (s *server) join(c *gin.Context) {
	var r JoinRequest
	if err := readLenient(c, &r); err != nil {
		s.fail(c, err)
		return
	}
	if !cellID.MatchString(r.Cell) {
		s.fail(c, app.Invalid("the cell's ID %.100q can't be used: it must be 1 to 128 letters, digits, dots, - and _, a letter or digit first", r.Cell))
		return
	}
	r.Token = bearer(c.GetHeader("Authorization"))
	r.Addr, _, _ = net.SplitHostPort(c.Request.RemoteAddr)
	reply, err := s.cfg.Trust.Join(r)
	s.done(c, http.StatusOK, reply, err)
}

func (s *server) renew(c *gin.Context) {
	var r Renewal
	if err := readLenient(c, &r); err != nil {
		s.fail(c, err)
		return
	}
	cert, err := s.cfg.Trust.Renew(c.Param("id"), []byte(r.CSR))
	s.done(c, http.StatusOK, Renewal{Certificate: string(cert)}, err)
}

// membershipPause is short: a rotation waits for each cell.
const membershipPause = 5 * time.Millisecond

func (s *server) membership(c *gin.Context) {
	id := c.Param("id")
	watch(s, c, source[Membership]{
		changed: s.cfg.Trust.Changed,
		get:     func() (Membership, error) { return s.cfg.Trust.Membership(id) },
		same:    equal[Membership],
		pause:   membershipPause,
	})
}

func (s *server) confirm(c *gin.Context) {
	var r Confirmation
	if err := readLenient(c, &r); err != nil {
		s.fail(c, err)
		return
	}
	s.cfg.Trust.Confirm(c.Param("id"), r.Revision)
	c.Status(http.StatusNoContent)
}

func (s *server) revokeCell(c *gin.Context) {
	r, err := s.cfg.Trust.Revoke(c.Param("id"))
	s.done(c, http.StatusOK, r, err)
}

func (s *server) rotateGossip(c *gin.Context) {
	r, err := s.cfg.Trust.RotateGossip(c.Request.Context())
	s.done(c, http.StatusOK, r, err)
}
