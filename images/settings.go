package images

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"lattice/app"
)

// Settings is what is known of other registries. It is on disk, passwords
// encrypted by a key in a file of its own, so that a copy of the one file tells
// none. All methods may be called concurrently.
type Settings struct {
	path string
	seal cipher.AEAD

	mu  sync.Mutex // held over a change and its way to the disk
	now settings
}

// settings is the file.
type settings struct {
	Registries map[string]registry `json:"registries"` // by host
	Allowed    []string            `json:"allowed"`    // patterns of images that may run; empty: all
	Logins     map[string]login    `json:"logins"`     // by loginKey: for the image of one app only
}

type registry struct {
	app.Registry
	Sealed []byte `json:"sealed,omitempty"` // the password
}

// A login is what the image of one app, task or schedule is pulled with.
type login struct {
	Owner    string    `json:"owner"` // whoever called SetLogin knows
	Repo     string    `json:"repo"`  // as ref.name
	Username string    `json:"username"`
	Sealed   []byte    `json:"sealed"`
	At       time.Time `json:"at"`
}

// OpenSettings reads the settings in a folder, and makes the key if there is
// none.
func OpenSettings(dir string) (*Settings, error) {
	key, err := openKey(filepath.Join(dir, "registries.key"))
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	s := &Settings{path: filepath.Join(dir, "registries.json")}
	if s.seal, err = cipher.NewGCM(block); err != nil {
		return nil, err
	}
	data, err := os.ReadFile(s.path)
	if err == nil {
		err = json.Unmarshal(data, &s.now)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read what is known of registries: %w", err)
	}
	return s, nil
}

// openKey reads the key at path, or makes it.
func openKey(path string) ([]byte, error) {
	key, err := os.ReadFile(path)
	switch {
	case err == nil && len(key) != 32:
		return nil, fmt.Errorf("%s has %d bytes, a key has 32: delete it, and add the registries' passwords again", path, len(key))
	case !errors.Is(err, fs.ErrNotExist):
		return key, err
	}
	key = make([]byte, 32)
	rand.Read(key)
	return key, writeFile(path, key)
}

// encrypt seals a password; it opens under the same name only.
func (s *Settings) encrypt(password, name string) []byte {
	if password == "" {
		return nil
	}
	nonce := make([]byte, s.seal.NonceSize())
	rand.Read(nonce)
	return s.seal.Seal(nonce, nonce, []byte(password), []byte(name))
}

func (s *Settings) decrypt(sealed []byte, name string) (string, error) {
	n := s.seal.NonceSize()
	if len(sealed) < n {
		return "", nil
	}
	b, err := s.seal.Open(nil, sealed[:n], sealed[n:], []byte(name))
	if err != nil {
		return "", fmt.Errorf("the password for %s can't be read with this key: add it again", name)
	}
	return string(b), nil
}

// change lets fn alter the settings and returns when they are on disk.
func (s *Settings) change(fn func(*settings) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := settings{maps.Clone(s.now.Registries), slices.Clone(s.now.Allowed), maps.Clone(s.now.Logins)}
	if next.Registries == nil {
		next.Registries = map[string]registry{}
	}
	if next.Logins == nil {
		next.Logins = map[string]login{}
	}
	if err := fn(&next); err != nil {
		return err
	}
	data, err := json.MarshalIndent(next, "", "  ")
	if err != nil {
		return err
	}
	if err := writeFile(s.path, data); err != nil {
		return err
	}
	s.now = next
	return nil
}

// Put adds a registry, or changes the one of its host. Without a password the
// one that is known stays, as long as it is for the same user at the same place.
func (s *Settings) Put(r app.Registry) error {
	if err := r.Validate(); err != nil {
		return err
	}
	r.Host = app.RegistryHost(r.Host)
	return s.change(func(f *settings) error {
		sealed := s.encrypt(r.Password, r.Host)
		if r.Password == "" {
			sealed = f.kept(r)
		}
		r.Password = ""
		f.Registries[r.Host] = registry{r, sealed}
		return nil
	})
}

// kept returns the sealed password that stays when r comes without one; nil: none.
func (f *settings) kept(r app.Registry) []byte {
	if old := f.Registries[r.Host]; old.Username == r.Username && old.Mirror == r.Mirror {
		return old.Sealed
	}
	return nil
}

// Greet asks a registry whether it is there and lets its user in, as Put would have
// it. The error is a sentence, and app.ErrImage.
func (s *Settings) Greet(ctx context.Context, r app.Registry) error {
	if err := r.Validate(); err != nil {
		return err
	}
	r.Host = app.RegistryHost(r.Host)
	if r.Password == "" {
		s.mu.Lock()
		sealed := s.now.kept(r)
		s.mu.Unlock()
		var err error
		if r.Password, err = s.decrypt(sealed, r.Host); err != nil {
			return err
		}
	}
	return greet(ctx, r)
}

// Remove forgets a registry. It is ErrNotFound if it isn't known.
func (s *Settings) Remove(host string) error {
	host = app.RegistryHost(host)
	return s.change(func(f *settings) error {
		if _, ok := f.Registries[host]; !ok {
			return fmt.Errorf("registry %s: %w", host, app.ErrNotFound)
		}
		delete(f.Registries, host)
		return nil
	})
}

// List returns all registries by host, without passwords.
func (s *Settings) List() []app.Registry {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := []app.Registry{}
	for _, host := range slices.Sorted(maps.Keys(s.now.Registries)) {
		all = append(all, s.now.Registries[host].Registry)
	}
	return all
}

// Allowed returns the patterns of images that may run; none: all may.
func (s *Settings) Allowed() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string{}, s.now.Allowed...)
}

// SetAllowed replaces the patterns. In one, * stands for anything but a slash,
// and ** at the end for anything.
func (s *Settings) SetAllowed(patterns []string) error {
	for _, p := range patterns {
		if _, err := path.Match(strings.TrimSuffix(p, "**"), ""); err != nil || p == "" {
			return app.Invalid("the pattern %.100q is not well formed: write such as registry.example.com/team/* or cluster/**", p)
		}
	}
	return s.change(func(f *settings) error { f.Allowed = slices.Clone(patterns); return nil })
}

// MayRun returns why an image may not run, or nil; repo is where it is here.
func (s *Settings) MayRun(repo string) error {
	if r := fromStored(repo); !s.allows(r) {
		return app.Invalid("the image %s may not run here: 'ltc registry allowed' lists what may", r.name())
	}
	return nil
}

// allows reports whether an image may run.
func (s *Settings) allows(r ref) bool {
	patterns := s.Allowed()
	return len(patterns) == 0 || slices.ContainsFunc(patterns, func(p string) bool {
		if stem, all := strings.CutSuffix(p, "**"); all {
			return strings.HasPrefix(r.name(), stem)
		}
		ok, _ := path.Match(p, r.name()) // was checked by SetAllowed
		return ok
	})
}

// loginKey is unique, as owners have no slash.
func loginKey(owner, repo string) string { return owner + "/" + repo }

// SetLogin keeps what the image of an owner is pulled with, beside those of other
// images that it had before. undo puts back what there was.
func (s *Settings) SetLogin(owner, image string, l app.Login) (undo func() error, err error) {
	r, err := parse(image)
	if err != nil {
		return nil, err
	}
	key := loginKey(owner, r.name())
	var before login
	var had bool
	err = s.change(func(f *settings) error {
		before, had = f.Logins[key]
		f.Logins[key] = login{owner, r.name(), l.Username, s.encrypt(l.Password, key), time.Now().UTC()}
		return nil
	})
	return func() error {
		return s.change(func(f *settings) error {
			if f.Logins[key] = before; !had {
				delete(f.Logins, key)
			}
			return nil
		})
	}, err
}

// newLogin is how long a login may be there before its owner is.
const newLogin = 10 * time.Minute

// Keep forgets the logins of all owners but those that exist, and of those that
// may not exist yet.
func (s *Settings) Keep(exists func(owner string) bool) error {
	return s.forget(func(l login) bool { return !exists(l.Owner) && time.Since(l.At) > newLogin })
}

// Forget forgets the logins of an owner.
func (s *Settings) Forget(owner string) error {
	return s.forget(func(l login) bool { return l.Owner == owner })
}

func (s *Settings) forget(gone func(login) bool) error {
	s.mu.Lock()
	some := slices.ContainsFunc(slices.Collect(maps.Values(s.now.Logins)), gone)
	s.mu.Unlock()
	if !some {
		return nil
	}
	return s.change(func(f *settings) error {
		maps.DeleteFunc(f.Logins, func(_ string, l login) bool { return gone(l) })
		return nil
	})
}
