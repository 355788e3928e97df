package pki

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"lattice/app"
)

const (
	secretSize    = 24 // bytes
	gossipKeySize = 32 // AES-256
)

// A Role is what a token allows.
type Role string

// The roles.
const (
	RoleNone  Role = ""      // a wrong token
	RoleAdmin Role = "admin" // everything
	RoleJoin  Role = "join"  // what a cell needs
)

// Secrets are what a cluster's tokens and gossip are made of. They don't change
// while the process runs, and print as a mask.
type Secrets struct {
	admin, join Secret
	gossip      []byte
}

// wireSecrets is the file. It has plain strings: Secret would be masked.
type wireSecrets struct {
	Admin  string `json:"admin"`
	Join   string `json:"join"`
	Gossip []byte `json:"gossip_key"`
}

// OpenSecrets returns the secrets kept in dir as secrets.json and makes them
// when there are none. The file is for its owner only. A damaged file is an
// error and stays as it is.
func OpenSecrets(dir string) (*Secrets, error) {
	path := filepath.Join(dir, "secrets.json")
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return makeSecrets(path)
	}
	if err != nil {
		return nil, fmt.Errorf("read the cluster's secrets: %w", err)
	}
	return parseSecrets(path, b)
}

// Admin returns the secret of RoleAdmin.
func (s *Secrets) Admin() Secret { return s.admin }

// Join returns the secret of RoleJoin.
func (s *Secrets) Join() Secret { return s.join }

// GossipKey returns a copy of the key all nodes share, 32 bytes.
func (s *Secrets) GossipKey() []byte { return append([]byte(nil), s.gossip...) }

// Role returns what the bearer of token may do. The token may be whole or only
// its secret. How long it takes doesn't depend on how much of it is right.
func (s *Secrets) Role(token string) Role {
	if t, err := ParseToken(token); err == nil {
		token = string(t.Secret)
	}
	admin := subtle.ConstantTimeCompare([]byte(token), []byte(s.admin))
	join := subtle.ConstantTimeCompare([]byte(token), []byte(s.join))
	switch {
	case admin == 1:
		return RoleAdmin
	case join == 1:
		return RoleJoin
	}
	return RoleNone
}

// String returns a mask.
func (Secrets) String() string { return masked }

// GoString is String.
func (Secrets) GoString() string { return masked }

func makeSecrets(path string) (*Secrets, error) {
	w := wireSecrets{Admin: random(), Join: random(), Gossip: make([]byte, gossipKeySize)}
	rand.Read(w.Gossip) // never fails
	b, err := json.MarshalIndent(w, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode the cluster's secrets: %w", err)
	}
	if err := writeFile(path, append(b, '\n')); err != nil {
		return nil, fmt.Errorf("keep the cluster's secrets: %w", err)
	}
	return &Secrets{Secret(w.Admin), Secret(w.Join), w.Gossip}, nil
}

// parseSecrets leaves the reason of a failure out: it might quote the file.
func parseSecrets(path string, b []byte) (*Secrets, error) {
	var w wireSecrets
	err := json.Unmarshal(b, &w)
	if err != nil || !usable(w.Admin) || !usable(w.Join) || w.Admin == w.Join || len(w.Gossip) != gossipKeySize {
		return nil, app.Invalid("%s is damaged; restore it, or remove it and give all cells and clients new tokens", path)
	}
	return &Secrets{Secret(w.Admin), Secret(w.Join), w.Gossip}, nil
}

// usable reports whether secret can stand in a token.
func usable(secret string) bool {
	b, err := encoding.DecodeString(secret)
	return err == nil && len(b) >= minSecretSize
}

func random() string {
	b := make([]byte, secretSize)
	rand.Read(b) // never fails
	return encoding.EncodeToString(b)
}
