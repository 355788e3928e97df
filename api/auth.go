package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"strings"

	"github.com/gin-gonic/gin"

	"lattice/app"
)

// A Role is what the holder of a token may do.
type Role string

// The roles.
const (
	RoleUser Role = "user" // everything but what is for cells
	RoleCell Role = "cell" // only what is for cells

	roleAnyone Role = "anyone" // of a path, never of a token
	roleBoth   Role = "both"   // of a path, never of a token: a user's, and a cell's for the cell itself
)

// Auth tells the role of a token. It must take as long for a wrong token as
// for a right one.
type Auth interface {
	Role(token string) (Role, bool)
}

// Tokens is an Auth with one token a role, of which it has only the hash. A
// role whose hash is zero has no token.
type Tokens struct {
	User, Cell [sha256.Size]byte
}

// HashToken returns what Tokens wants of a token. A token must be random and
// long: the hash is no protection for one that can be guessed.
func HashToken(token string) [sha256.Size]byte { return sha256.Sum256([]byte(token)) }

// Role returns the role of the token.
func (t Tokens) Role(token string) (Role, bool) {
	got := HashToken(token)
	user, cell := same(got, t.User), same(got, t.Cell)
	switch {
	case token == "":
		return "", false
	case user:
		return RoleUser, true
	case cell:
		return RoleCell, true
	}
	return "", false
}

// same compares in constant time and is false for a hash that is not set.
func same(got, want [sha256.Size]byte) bool {
	return subtle.ConstantTimeCompare(got[:], want[:])&^subtle.ConstantTimeCompare(want[:], make([]byte, len(want))) == 1
}

// authorise lets a request pass only if the route table says for whom its path
// is and its token has that role. It runs in front of every handler, those for
// unknown paths included, so a path nobody thought of is refused.
func (s *server) authorise(c *gin.Context) {
	want, known := s.allowed[c.Request.Method+" "+c.FullPath()]
	if want == roleAnyone {
		return
	}
	token := bearer(c.GetHeader("Authorization"))
	role, ok := s.cfg.Auth.Role(token)
	switch {
	case !ok && token == "":
		s.fail(c, sayf(app.ErrUnauthorized, "a token is needed: send it as Authorization: Bearer TOKEN"))
	case !ok:
		s.fail(c, sayf(app.ErrUnauthorized, "the token is not known here"))
	case known && opens(role, want), c.FullPath() == "" && role == RoleUser: // of the latter the answer will be 404
	case role == RoleCell:
		s.fail(c, sayf(errForbidden, "a join token is for cells only: use a user's token"))
	default:
		s.fail(c, sayf(errForbidden, "this is for cells only and wants the join token"))
	}
}

// opens reports whether a role opens a path for want.
func opens(role, want Role) bool {
	if want == roleBoth {
		return role == RoleUser || role == RoleCell
	}
	return role == want
}

// bearer returns the token of an Authorization header, or "".
func bearer(header string) string {
	scheme, token, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}
