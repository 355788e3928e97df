package api

import (
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"lattice/app"
)

// A Caller is a person or program that was let in.
type Caller struct {
	Name  string    // "admin" for who has the admin token
	Role  Role      // RoleUser or RoleViewer
	Since time.Time // of what let it in; zero for the admin token
}

// Users are the people who may use the brain beside who has the admin token.
// All methods may be called concurrently.
type Users interface {
	Users() []UserStatus // by name

	// AddUser returns a token that nobody can ask for again.
	AddUser(UserRequest) (NewUser, error)

	// ChangeUser gives a password or a token. What the user had open is closed.
	ChangeUser(name string, r UserChange) (NewUser, error)
	RemoveUser(name string) error

	// Login is ErrUnauthorized if name or password is wrong. It takes as long
	// for a wrong name.
	Login(name, password string) (Caller, error)

	// Bearer is ErrUnauthorized if no user has the token.
	Bearer(token string) (Caller, error)

	// Current returns the user of that name as it is now.
	Current(name string) (Caller, bool)
}

// A UserStatus is a user as it is listed.
type UserStatus struct {
	Name      string    `json:"name"`
	Role      string    `json:"role"`     // admin or viewer
	Password  bool      `json:"password"` // has one; else only a token
	CreatedAt time.Time `json:"created_at"`
	ChangedAt time.Time `json:"changed_at"` // of the password or the token
}

// A UserRequest asks for a user.
type UserRequest struct {
	Name     string `json:"name"`
	Role     string `json:"role"`               // admin or viewer
	Password string `json:"password,omitempty"` // empty: none, only the token
}

// A UserChange asks for another password, or if that is empty, another token.
type UserChange struct {
	Password string `json:"password,omitempty"`
}

// A NewUser is a user with its token, which nobody can ask for again.
type NewUser struct {
	UserStatus
	Token string `json:"token,omitempty"`
}

func (s *server) listUsers(c *gin.Context) {
	s.answer(c, http.StatusOK, some(s.cfg.Users.Users()))
}

func (s *server) addUser(c *gin.Context) {
	var r UserRequest
	if err := readStrict(c, &r); err != nil {
		s.fail(c, err)
		return
	}
	u, err := s.cfg.Users.AddUser(r)
	s.done(c, http.StatusCreated, u, err)
}

func (s *server) changeUser(c *gin.Context) {
	var r UserChange
	if err := readStrict(c, &r); err != nil {
		s.fail(c, err)
		return
	}
	u, err := s.cfg.Users.ChangeUser(c.Param("name"), r)
	if err == nil {
		s.callers.end(u.Name, app.Unauthorized("the password or the token of %s was changed: log in again", u.Name))
	}
	s.done(c, http.StatusOK, u, err)
}

func (s *server) removeUser(c *gin.Context) {
	name := c.Param("name")
	if err := s.cfg.Users.RemoveUser(name); err != nil {
		s.fail(c, err)
		return
	}
	s.callers.end(name, app.Unauthorized("the user %s was removed", name))
	c.Status(http.StatusNoContent)
}
