package router

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"
	"sync"

	"golang.org/x/crypto/bcrypt"
)

const (
	maxKnown   = 1000 // credentials that were found right and are remembered
	maxChecks  = 2    // passwords checked at a time: each takes a CPU for a while
	maxWaiting = 64   // requests that wait for that
)

// users are those who may use a route.
type users struct {
	hashes map[string][]byte // bcrypt, by name
	some   []byte            // one of them
	checks chan struct{}

	mu      sync.Mutex // guards what follows
	known   map[[sha256.Size]byte]bool
	waiting int
}

// newUsers reads "USER:HASH" lines; nil of none.
func newUsers(lines []string) *users {
	if len(lines) == 0 {
		return nil
	}
	u := &users{hashes: make(map[string][]byte), checks: make(chan struct{}, maxChecks), known: make(map[[sha256.Size]byte]bool)}
	for _, l := range lines {
		name, hash, _ := strings.Cut(l, ":")
		u.some = []byte(hash)
		u.hashes[name] = u.some
	}
	return u
}

// admit returns nil for the credentials of one of the users.
func (u *users) admit(authorization, host string) *refusal {
	name, password, ok := credentials(authorization)
	if !ok {
		return unauthorized(host)
	}
	print := sha256.Sum256([]byte(name + "\x00" + password))
	u.mu.Lock()
	known := u.known[print]
	busy := !known && u.waiting >= maxWaiting
	if !known && !busy {
		u.waiting++
	}
	u.mu.Unlock()
	switch {
	case known:
		return nil
	case busy:
		return &refusal{code: http.StatusServiceUnavailable, cause: "auth_busy", reason: "too many passwords are being checked at the moment"}
	}
	right := u.check(name, password)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.waiting--
	if !right {
		return unauthorized(host)
	}
	if len(u.known) >= maxKnown {
		clear(u.known)
	}
	u.known[print] = true
	return nil
}

// check takes as long for a user that there isn't.
func (u *users) check(name, password string) bool {
	u.checks <- struct{}{}
	defer func() { <-u.checks }()
	hash, known := u.hashes[name]
	if !known {
		hash = u.some
	}
	return bcrypt.CompareHashAndPassword(hash, []byte(password)) == nil && known
}

func unauthorized(host string) *refusal {
	realm := `Basic realm="` + strings.NewReplacer(`"`, "", `\`, "").Replace(host) + `", charset="UTF-8"`
	return &refusal{code: http.StatusUnauthorized, cause: "unauthorized", reason: "name and password are wanted", more: [][2]string{{"Www-Authenticate", realm}}}
}

// credentials reads the header field Authorization.
func credentials(authorization string) (name, password string, ok bool) {
	const prefix = "basic "
	if len(authorization) < len(prefix) || !strings.EqualFold(authorization[:len(prefix)], prefix) {
		return "", "", false
	}
	text, err := base64.StdEncoding.DecodeString(strings.TrimSpace(authorization[len(prefix):]))
	if err != nil {
		return "", "", false
	}
	if name, password, ok = strings.Cut(string(text), ":"); !ok {
		return "", "", false
	}
	return name, password, true
}
