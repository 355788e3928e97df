package pki

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/argon2"

	"lattice/app"
)

// RoleViewer is the role of a user who may look at everything that is no
// secret, and change nothing.
const RoleViewer Role = "viewer"

const (
	maxUsers       = 1000
	maxNameBytes   = 64
	minPassword    = 10 // characters
	maxPassword    = 1024
	hashTime       = 2 // of argon2id, with hashMemory and one thread what OWASP advises
	hashMemory     = 19 << 10
	hashSize       = 32
	saltSize       = 16
	reservedByName = "admin" // whom the admin token stands for
)

// A User is somebody who may use the brain.
type User struct {
	Name     string    `json:"name"`
	Role     Role      `json:"role"` // RoleAdmin or RoleViewer
	Created  time.Time `json:"created_at"`
	Changed  time.Time `json:"changed_at"` // of the password or the token; what was opened before is closed
	Password bool      `json:"-"`          // has one
}

// Users are the people who may use a brain, beside who has the admin token. A
// change is on disk when the method that made it returns. They are safe for
// concurrent use.
type Users struct {
	path string

	write   sync.Mutex // held over a change and its way to the disk
	now     atomic.Pointer[[]account]
	hashing sync.Mutex // one hash at a time: each takes hashMemory KiB
}

// account is what is kept of a user. Nothing in it opens anything.
type account struct {
	User
	Salt  []byte `json:"salt,omitempty"`
	Hash  []byte `json:"hash,omitempty"`  // of the password; nil: none
	Token []byte `json:"token,omitempty"` // SHA-256 of its secret
}

// OpenUsers returns the users kept in dir as users.json; there need be none.
// The file is for its owner only.
func OpenUsers(dir string) (*Users, error) {
	u := &Users{path: filepath.Join(dir, "users.json")}
	u.now.Store(&[]account{})
	b, err := os.ReadFile(u.path)
	if errors.Is(err, fs.ErrNotExist) {
		return u, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the users: %w", err)
	}
	var all []account
	if json.Unmarshal(b, &all) != nil { // the reason might quote the file
		return nil, app.Invalid("%s is damaged; restore it, or remove it and add the users anew", u.path)
	}
	u.now.Store(&all)
	return u, nil
}

// List returns the users by name.
func (u *Users) List() []User {
	var list []User
	for _, a := range *u.now.Load() {
		list = append(list, a.view())
	}
	return list
}

func (a account) view() User {
	a.User.Password = len(a.Hash) > 0
	return a.User
}

// Add makes a user with a token, which is returned this once, and a password
// unless it is empty.
func (u *Users) Add(name string, role Role, password Secret) (User, Secret, error) {
	if err := errors.Join(validName(name), validRole(role), validPassword(password)); err != nil {
		return User{}, "", err
	}
	now := time.Now().UTC()
	a, secret := account{User: User{Name: name, Role: role, Created: now, Changed: now}}, random()
	a.Token = digest(secret)
	u.protect(&a, password)
	err := u.change(func(all []account) ([]account, error) {
		i, taken := find(all, name)
		switch {
		case taken:
			return nil, fmt.Errorf("user %s %w", name, app.ErrExists)
		case len(all) >= maxUsers:
			return nil, app.Invalid("there are %d users, which is the most there may be: remove some first", len(all))
		}
		return slices.Insert(all, i, a), nil
	})
	return a.view(), Secret(secret), err
}

// Remove forgets a user, whose password and token are useless then.
func (u *Users) Remove(name string) error {
	return u.change(func(all []account) ([]account, error) {
		i, ok := find(all, name)
		if !ok {
			return nil, fmt.Errorf("user %.100q %w", name, app.ErrNotFound)
		}
		return slices.Delete(all, i, i+1), nil
	})
}

// SetPassword gives a user another password.
func (u *Users) SetPassword(name string, password Secret) (User, error) {
	if password == "" {
		return User{}, app.Invalid("a password can't be empty")
	}
	if err := validPassword(password); err != nil {
		return User{}, err
	}
	return u.alter(name, func(a *account) { u.protect(a, password) })
}

// NewToken gives a user another token and returns it this once.
func (u *Users) NewToken(name string) (User, Secret, error) {
	secret := random()
	user, err := u.alter(name, func(a *account) { a.Token = digest(secret) })
	return user, Secret(secret), err
}

// Login returns the user of that name if the password is right. What it refuses
// is ErrUnauthorized, and takes as long for a name that is not there.
func (u *Users) Login(name, password string) (User, error) {
	all := *u.now.Load()
	i, ok := find(all, name)
	a := account{Salt: make([]byte, saltSize), Hash: make([]byte, hashSize)}
	if ok && len(all[i].Hash) > 0 {
		a = all[i]
	}
	if len(password) > maxPassword {
		password = password[:maxPassword+1] // wrong in any case
	}
	right := subtle.ConstantTimeCompare(u.hash(password, a.Salt), a.Hash) == 1
	if !right || a.Name == "" {
		return User{}, app.Unauthorized("the name or the password is wrong")
	}
	return a.view(), nil
}

// Bearer returns the user with that token, which may be whole or only its
// secret. If there is none it is ErrUnauthorized.
func (u *Users) Bearer(token string) (User, error) {
	hash, found := digest(bare(token)), User{}
	for _, a := range *u.now.Load() {
		if subtle.ConstantTimeCompare(hash, a.Token) == 1 {
			found = a.view()
		}
	}
	if found.Name == "" {
		return User{}, app.Unauthorized("the token is not known here")
	}
	return found, nil
}

// Find returns the user of that name.
func (u *Users) Find(name string) (User, bool) {
	all := *u.now.Load()
	i, ok := find(all, name)
	if !ok {
		return User{}, false
	}
	return all[i].view(), true
}

func find(all []account, name string) (int, bool) {
	return slices.BinarySearchFunc(all, name, func(a account, name string) int { return strings.Compare(a.Name, name) })
}

// protect sets the password of a, unless it is empty.
func (u *Users) protect(a *account, password Secret) {
	if password == "" {
		return
	}
	a.Salt = make([]byte, saltSize)
	rand.Read(a.Salt) // never fails
	a.Hash = u.hash(string(password), a.Salt)
}

func (u *Users) hash(password string, salt []byte) []byte {
	u.hashing.Lock()
	defer u.hashing.Unlock()
	return argon2.IDKey([]byte(password), salt, hashTime, hashMemory, 1, hashSize)
}

// alter changes one user, and with that what opens things for it.
func (u *Users) alter(name string, fn func(*account)) (user User, err error) {
	err = u.change(func(all []account) ([]account, error) {
		i, ok := find(all, name)
		if !ok {
			return nil, fmt.Errorf("user %.100q %w", name, app.ErrNotFound)
		}
		fn(&all[i])
		all[i].Changed = time.Now().UTC()
		user = all[i].view()
		return all, nil
	})
	return user, err
}

// change puts what fn makes of a copy of the users on disk, and then in place.
func (u *Users) change(fn func([]account) ([]account, error)) error {
	u.write.Lock()
	defer u.write.Unlock()
	next, err := fn(slices.Clone(*u.now.Load()))
	if err != nil {
		return err
	}
	b, err := json.MarshalIndent(next, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the users: %w", err)
	}
	if err := writeFile(u.path, append(b, '\n')); err != nil {
		return fmt.Errorf("keep the users: %w", err)
	}
	u.now.Store(&next)
	return nil
}

func digest(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}

func validName(name string) error {
	odd := func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || strings.ContainsRune("._@+-", r))
	}
	switch {
	case name == "" || len(name) > maxNameBytes || strings.ContainsFunc(name, odd):
		return app.Invalid("%.100q can't be a user's name: write 1 to %d of a-z, 0-9 and ._@+-", name, maxNameBytes)
	case name == reservedByName:
		return app.Invalid("the name %s stands for who has the admin token: choose another one", name)
	}
	return nil
}

func validRole(role Role) error {
	if role != RoleAdmin && role != RoleViewer {
		return app.Invalid("there is no role %.40q: a user is %s or %s", role, RoleAdmin, RoleViewer)
	}
	return nil
}

// validPassword lets an empty one pass, which is none.
func validPassword(password Secret) error {
	if n := len([]rune(string(password))); password != "" && n < minPassword || len(password) > maxPassword {
		return app.Invalid("a password has %d to %d characters, this one has %d", minPassword, maxPassword, n)
	}
	return nil
}
