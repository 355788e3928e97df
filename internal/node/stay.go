package node

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"lattice/api"
	"lattice/internal/pki"
)

// joined is what a cell keeps of its stay in a cluster, so that it comes up
// again without its brain. It is a secret.
type joined struct {
	URL         string `json:"url"`
	CAHash      string `json:"ca_hash"` // hexadecimal
	Cell        string `json:"cell"`
	Certificate string `json:"certificate"` // PEM
	Key         string `json:"key"`         // PEM; plain, as pki.Secret would be masked
	api.Membership
}

// A stay is a cell's leave to take part in a cluster.
type stay struct {
	path string // of its file; empty: it has none

	mu   sync.Mutex // held over a change and its way to the disk
	now  joined
	cert atomic.Pointer[tls.Certificate]
}

// openStay reads what a former process left; a stay without URL if none did.
func openStay(path string) (*stay, error) {
	s := &stay{path: path}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &s.now)
	}
	if err == nil && s.now.Certificate != "" {
		err = s.load(s.now)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s, which says how this cell joined: %w; delete it and join again", path, err)
	}
	return s, nil
}

// known returns what is kept.
func (s *stay) known() joined {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

// certificate returns what the cell shows of itself.
func (s *stay) certificate() *tls.Certificate { return s.cert.Load() }

// update lets fn alter what is kept, and returns when it is on disk.
func (s *stay) update(fn func(*joined)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.now
	fn(&next)
	if s.path != "" {
		data, err := json.Marshal(next)
		if err != nil {
			return err
		}
		if err := saveFile(s.path, data); err != nil {
			return err
		}
	}
	s.now = next
	return s.load(next)
}

func (s *stay) load(j joined) error {
	cert, err := pki.Identity([]byte(j.Certificate), pki.Secret(j.Key))
	if err != nil {
		return err
	}
	s.cert.Store(cert)
	return nil
}

// unfit says why the cell can't come in again by what is kept, or "". CA is
// that of the token which it has got, or empty.
func (s *stay) unfit(cell, ca string) string {
	j, cert := s.known(), s.certificate()
	switch {
	case cert == nil:
		return "this cell has not joined a cluster yet"
	case j.Cell != cell:
		return fmt.Sprintf("this cell joined as %s and is to be %s now", j.Cell, cell)
	case ca != "" && j.CAHash != ca:
		return "the token is of another cluster than the one this cell is in"
	case time.Now().After(cert.Leaf.NotAfter):
		return "this cell's certificate ran out on " + cert.Leaf.NotAfter.Format(time.RFC1123)
	}
	return ""
}
