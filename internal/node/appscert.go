package node

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"lattice/internal/pki"
)

const (
	certificateLook  = 5 * time.Second // between looks at what the certificate is to be for
	certificateRetry = 5 * time.Second
	maxParents       = 100 // domains that a certificate is for
)

// An ownCertificate is with what the router of a cell speaks for apps under the
// domain. The key never leaves the cell; the brain signs it.
type ownCertificate struct {
	path string
	log  *slog.Logger
	now  atomic.Pointer[tls.Certificate] // nil: there is none yet
}

// keptCertificate is its file. It is a secret.
type keptCertificate struct {
	Certificate string `json:"certificate"` // PEM
	Key         string `json:"key"`         // PEM
}

// load takes up what a former process has got.
func (o *ownCertificate) load() error {
	data, err := os.ReadFile(o.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the certificate for apps: %w", err)
	}
	var k keptCertificate
	var cert *tls.Certificate
	if err = json.Unmarshal(data, &k); err == nil {
		cert, err = pki.Identity([]byte(k.Certificate), pki.Secret(k.Key))
	}
	if err != nil {
		o.log.Error("the certificate for apps can't be read, the brain is asked for another one", "file", o.path, "err", err)
		return nil
	}
	o.now.Store(cert)
	return nil
}

// certificate is certs.Config.Own.
func (o *ownCertificate) certificate(string) (*tls.Certificate, error) {
	if cert := o.now.Load(); cert != nil {
		return cert, nil
	}
	return nil, errors.New("the brain has not given this cell a certificate yet")
}

// fit reports whether there is a certificate for all of names that is not old.
func (o *ownCertificate) fit(names []string) bool {
	cert := o.now.Load()
	return cert != nil && time.Now().Before(pki.RenewAt(cert.Leaf)) &&
		!slices.ContainsFunc(names, func(n string) bool { return !slices.Contains(cert.Leaf.DNSNames, n) })
}

// renew gets a certificate whenever there is none that fits, until ctx is done.
func (g *gateway) renew(ctx context.Context) error {
	told := false
	for {
		wait := certificateLook
		if names := g.names(); !g.own.fit(names) {
			err := g.renewNow(ctx, names)
			if err != nil && ctx.Err() == nil {
				wait = certificateRetry/2 + rand.N(certificateRetry)
				if !told {
					g.log.Warn("no certificate for apps yet, will try again", "err", err)
				}
			}
			told = err != nil
		}
		if !pause(ctx, wait) {
			return nil
		}
	}
}

func (g *gateway) renewNow(ctx context.Context, names []string) error {
	csr, key, err := pki.NewRequest(g.id, names...)
	if err != nil {
		return err
	}
	pem, err := g.client.AppsCertificate(ctx, g.id, csr)
	if err != nil {
		return err
	}
	cert, err := pki.Identity(pem, key)
	if err != nil {
		return err
	}
	data, err := json.Marshal(keptCertificate{string(pem), string(key)})
	if err != nil {
		return err
	}
	if err := saveFile(g.own.path, data); err != nil {
		return err
	}
	g.own.now.Store(cert)
	g.log.Info("got a certificate for apps", "names", names, "until", cert.Leaf.NotAfter)
	return nil
}

// names returns what the certificate is to be for: the domain, and what is above
// a host with more than one part before it, each with its wildcard.
func (g *gateway) names() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	domain := g.domain
	parents := []string{domain}
	for _, a := range g.apps {
		for _, r := range a.Routes {
			_, parent, _ := strings.Cut(r.Host, ".")
			if strings.HasSuffix(parent, "."+domain) && !slices.Contains(parents, parent) && len(parents) < maxParents {
				parents = append(parents, parent)
			}
		}
	}
	slices.Sort(parents[1:])
	var names []string
	for _, p := range parents {
		if strings.Contains(p, ".") { // no client takes a wildcard under a single label
			names = append(names, "*."+p)
		}
		names = append(names, p)
	}
	return names
}
