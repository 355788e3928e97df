package api

import (
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"lattice/app"
)

// DefaultTokenTTL is how long a join token lives unless told otherwise.
const DefaultTokenTTL = 24 * time.Hour

// A TokenRequest asks for a join token.
type TokenRequest struct {
	TTL  app.Duration `json:"ttl"`  // 0: DefaultTokenTTL
	Uses int          `json:"uses"` // joins; 0: any number
}

// A TokenStatus is a join token as it is listed: without its secret.
type TokenStatus struct {
	ID        string    `json:"id"`
	State     string    `json:"state"` // valid, expired, used up or revoked
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at"`
	Uses      int       `json:"uses"` // joins it is good for; 0: any number
	Used      int       `json:"used"`
	Cells     []string  `json:"cells"` // that joined with it
}

// A NewToken is a join token with its secret, which nobody can ask for again.
type NewToken struct {
	TokenStatus
	Token string `json:"token"`
}

func (s *server) listTokens(c *gin.Context) {
	s.answer(c, http.StatusOK, some(s.cfg.Trust.Tokens()))
}

func (s *server) createToken(c *gin.Context) {
	var r TokenRequest
	if err := readStrict(c, &r); err != nil {
		s.fail(c, err)
		return
	}
	if r.TTL == 0 {
		r.TTL = app.Duration(DefaultTokenTTL)
	}
	t, err := s.cfg.Trust.CreateToken(r)
	s.done(c, http.StatusCreated, t, err)
}

func (s *server) revokeToken(c *gin.Context) {
	if err := s.cfg.Trust.RevokeToken(c.Param("id")); err != nil {
		s.fail(c, err)
		return
	}
	c.Status(http.StatusNoContent)
}
