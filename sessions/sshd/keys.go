package sshd

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"lattice/app"
)

const (
	maxKeys    = 1000
	maxKeyText = 16 << 10 // bytes
	minRSABits = 2048
)

// A Save replaces the file at path, for its owner only and all or nothing.
type Save func(path string, data []byte) error

// A HostKey is what the port is known by.
type HostKey struct{ signer ssh.Signer }

// OpenHostKey returns the key kept at path, and makes it when there is none.
func OpenHostKey(path string, save Save) (HostKey, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		b, err = newHostKey()
		if err == nil {
			err = save(path, b)
		}
	}
	if err != nil {
		return HostKey{}, fmt.Errorf("the key of the SSH port: %w", err)
	}
	signer, err := ssh.ParsePrivateKey(b)
	if err != nil { // whose text might quote the file
		return HostKey{}, app.Invalid("%s is damaged: restore it, or remove it, and then all clients have to trust a new one", path)
	}
	return HostKey{signer}, nil
}

func newHostKey() ([]byte, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	block, err := ssh.MarshalPrivateKey(key, "lattice")
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(block), nil
}

// Public returns the public half as it stands in a known_hosts file.
func (k HostKey) Public() string {
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(k.signer.PublicKey())))
}

// Fingerprint returns the hash that clients show.
func (k HostKey) Fingerprint() string { return ssh.FingerprintSHA256(k.signer.PublicKey()) }

// A Key is a public key that lets its user in.
type Key struct {
	Name    string
	User    string
	Created time.Time

	public ssh.PublicKey
}

// Fingerprint returns the hash that clients show.
func (k Key) Fingerprint() string { return ssh.FingerprintSHA256(k.public) }

// Type returns the kind of the key, such as ssh-ed25519.
func (k Key) Type() string { return k.public.Type() }

// Keys are the public keys that are let in, kept in a file that is like
// OpenSSH's authorized_keys. They are safe for concurrent use.
type Keys struct {
	path string
	save Save

	mu  sync.Mutex // guards what follows, also while the file is written
	all []Key      // by name
}

// OpenKeys reads the file at path. One that isn't there has no keys.
func OpenKeys(path string, save Save) (*Keys, error) {
	k := &Keys{path: path, save: save}
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the SSH keys: %w", err)
	}
	n := 0
	for line := range strings.Lines(string(b)) {
		n++
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, err := parseLine(line)
		if err != nil {
			return nil, app.Invalid("%s, line %d: %v: mend or remove the line", path, n, err)
		}
		k.all = append(k.all, key)
	}
	return k, nil
}

// parseLine reads TYPE BASE64 NAME USER TIME.
func parseLine(line string) (Key, error) {
	f := strings.Fields(line)
	if len(f) != 5 {
		return Key{}, errors.New("it must be TYPE KEY NAME USER TIME")
	}
	raw, err := base64.StdEncoding.DecodeString(f[1])
	if err != nil {
		return Key{}, err
	}
	public, err := ssh.ParsePublicKey(raw)
	if err != nil {
		return Key{}, err
	}
	at, err := time.Parse(time.RFC3339, f[4])
	return Key{Name: f[2], User: f[3], Created: at, public: public}, err
}

// List returns all keys, by name.
func (k *Keys) List() []Key {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.all)
}

// Add takes a key as a .pub file of OpenSSH has it. Without a name it gets that
// of its comment.
func (k *Keys) Add(name, user, text string) (Key, error) {
	if len(text) > maxKeyText {
		return Key{}, app.Invalid("that is too long for a public key")
	}
	if strings.Contains(text, "PRIVATE KEY") {
		return Key{}, app.Invalid("that is a private key, which nobody else may see: give the file of the public one, whose name ends in .pub")
	}
	public, comment, _, _, err := ssh.ParseAuthorizedKey([]byte(text))
	if err != nil {
		return Key{}, app.Invalid("that is no public key as OpenSSH writes them, such as the content of ~/.ssh/id_ed25519.pub")
	}
	if err := strong(public); err != nil {
		return Key{}, err
	}
	if name == "" {
		name = comment
	}
	key := Key{Name: name, User: user, Created: time.Now().UTC().Truncate(time.Second), public: public}
	if !isWord(name) || !isWord(user) {
		return Key{}, app.Invalid("%.100q can't be the name of a key: it must be one word of at most 100 characters", name)
	}
	return key, k.change(func(all []Key) ([]Key, error) {
		for _, other := range all {
			if other.Name == name {
				return nil, fmt.Errorf("a key %s is there already: %w", name, app.ErrExists)
			}
			if bytes.Equal(other.public.Marshal(), public.Marshal()) {
				return nil, fmt.Errorf("this key is there already, as %s: %w", other.Name, app.ErrExists)
			}
		}
		if len(all) >= maxKeys {
			return nil, app.Invalid("there are %d keys, and more are not possible", maxKeys)
		}
		return append(all, key), nil
	})
}

func isWord(s string) bool {
	odd := func(r rune) bool { return r <= ' ' || r == 0x7f || r > 0xffff || r == 0xa0 }
	return s != "" && len(s) <= 100 && !strings.ContainsFunc(s, odd) && len(strings.Fields(s)) == 1
}

// strong refuses what is too easily broken.
func strong(public ssh.PublicKey) error {
	switch public.Type() {
	case ssh.KeyAlgoRSA:
		if bits := rsaBits(public); bits < minRSABits {
			return app.Invalid("an RSA key of %d bits is too short: make another one with ssh-keygen -t ed25519", bits)
		}
	case ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521, ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256:
	default:
		return app.Invalid("keys of type %s are not taken: make another one with ssh-keygen -t ed25519", public.Type())
	}
	return nil
}

// Remove removes the key of that name.
func (k *Keys) Remove(name string) error {
	return k.change(func(all []Key) ([]Key, error) {
		left := slices.DeleteFunc(all, func(key Key) bool { return key.Name == name })
		if len(left) == len(all) {
			return nil, fmt.Errorf("there is no key %.100q: %w", name, app.ErrNotFound)
		}
		return left, nil
	})
}

// change lets fn alter a copy of the list, which counts when it is on disk.
func (k *Keys) change(fn func([]Key) ([]Key, error)) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	next, err := fn(slices.Clone(k.all))
	if err != nil {
		return err
	}
	slices.SortFunc(next, func(a, b Key) int { return strings.Compare(a.Name, b.Name) })
	var b bytes.Buffer
	b.WriteString("# Public keys that open lattice's SSH port: TYPE KEY NAME USER TIME\n")
	for _, key := range next {
		fmt.Fprintf(&b, "%s %s %s %s\n", strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key.public))), key.Name, key.User, key.Created.Format(time.RFC3339))
	}
	if err := k.save(k.path, b.Bytes()); err != nil {
		return fmt.Errorf("keep the SSH keys: %w", err)
	}
	k.all = next
	return nil
}

// find returns the key that public is.
func (k *Keys) find(public ssh.PublicKey) (Key, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	i := slices.IndexFunc(k.all, func(key Key) bool { return bytes.Equal(key.public.Marshal(), public.Marshal()) })
	if i < 0 {
		return Key{}, false
	}
	return k.all[i], true
}
