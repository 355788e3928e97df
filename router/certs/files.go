package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// maxPairs bounds what is read from a folder.
const maxPairs = 10_000

// files are certificates from files, by the names they are for. They never
// change.
type files struct {
	byName map[string]*tls.Certificate
	seen   map[string]stamp // of each file and folder that was looked at
}

// A stamp tells whether a file has changed.
type stamp struct {
	at   time.Time
	size int64
}

func stampOf(path string) stamp {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{}
	}
	return stamp{info.ModTime(), info.Size()}
}

// readFiles reads all pairs; of two for one name the one that is valid longer
// counts.
func readFiles(pairs []Pair, folder string) (*files, error) {
	f := &files{byName: map[string]*tls.Certificate{}, seen: map[string]stamp{}}
	found, err := f.pairsIn(folder)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, p := range slices.Concat(pairs, found) {
		f.seen[p.Cert], f.seen[p.Key] = stampOf(p.Cert), stampOf(p.Key)
		cert, err := tls.LoadX509KeyPair(p.Cert, p.Key)
		if err != nil {
			errs = append(errs, fmt.Errorf("certificate %s with key %s: %w", p.Cert, p.Key, err))
			continue
		}
		f.add(&cert)
	}
	return f, errors.Join(errs...)
}

func (f *files) add(cert *tls.Certificate) {
	names := cert.Leaf.DNSNames
	if len(names) == 0 && cert.Leaf.Subject.CommonName != "" {
		names = []string{cert.Leaf.Subject.CommonName}
	}
	for _, name := range names {
		name = strings.ToLower(name)
		if was := f.byName[name]; was == nil || was.Leaf.NotAfter.Before(cert.Leaf.NotAfter) {
			f.byName[name] = cert
		}
	}
}

// pairsIn returns the pairs of a folder.
func (f *files) pairsIn(folder string) ([]Pair, error) {
	if folder == "" {
		return nil, nil
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, fmt.Errorf("certificates: %w", err)
	}
	f.seen[folder] = stampOf(folder)
	var pairs []Pair
	for _, e := range entries {
		path := filepath.Join(folder, e.Name())
		p := Pair{filepath.Join(path, "fullchain.pem"), filepath.Join(path, "privkey.pem")}
		if base, ok := strings.CutSuffix(path, ".crt"); ok {
			p = Pair{path, base + ".key"}
		} else if stampOf(p.Cert) == (stamp{}) {
			continue
		}
		if pairs = append(pairs, p); len(pairs) > maxPairs {
			return nil, fmt.Errorf("certificates: %s has more than %d", folder, maxPairs)
		}
	}
	return pairs, nil
}

// changed reports whether a file is not as it was read.
func (f *files) changed() bool {
	for path, was := range f.seen {
		if now := stampOf(path); !now.at.Equal(was.at) || now.size != was.size {
			return true
		}
	}
	return false
}

// find returns the certificate for a name, or for the wildcard it comes under;
// nil for none.
func (f *files) find(name string) *tls.Certificate {
	if cert := f.byName[name]; cert != nil {
		return cert
	}
	if _, parent, ok := strings.Cut(name, "."); ok {
		return f.byName["*."+parent]
	}
	return nil
}

func (f *files) names() []string { return slices.Sorted(maps.Keys(f.byName)) }

// ReadRoots reads a file of CA certificates.
func ReadRoots(path string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s has no certificate in PEM", path)
	}
	return pool, nil
}
