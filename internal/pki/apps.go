package pki

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"time"

	"lattice/app"
)

// maxParents bounds how many certificates an AppsCA keeps.
const maxParents = 1000

// An AppsCA issues the router's certificates for the hosts under the cluster's
// domain. It is not the CA of the API, and can do nothing else: its certificate
// says so, which makes it safe to trust. It is safe for concurrent use.
type AppsCA struct {
	ca     *CA
	domain string

	mu       sync.Mutex // guards byParent
	byParent map[string]*tls.Certificate
}

// OpenAppsCA returns the CA kept in dir as apps-ca.crt and apps-ca.key, and makes
// it when there is none, or none for this domain.
func OpenAppsCA(dir, domain string) (*AppsCA, error) {
	const base = "apps-ca"
	ca, err := loadCA(dir, base)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !slices.Equal(ca.cert.PermittedDNSDomains, []string{domain}) {
		t := template("lattice apps of "+domain, caLife)
		t.PermittedDNSDomainsCritical, t.PermittedDNSDomains = true, []string{domain}
		if err := makeCA(dir, base, t); err != nil {
			return nil, fmt.Errorf("make a certificate authority for apps in %s: %w", dir, err)
		}
		ca, err = loadCA(dir, base)
	}
	if err != nil {
		return nil, fmt.Errorf("read the certificate authority for apps: %w", err)
	}
	return &AppsCA{ca: ca, domain: domain, byParent: map[string]*tls.Certificate{}}, nil
}

// PEM returns the CA's certificate.
func (a *AppsCA) PEM() []byte { return a.ca.PEM() }

// Sign returns a certificate, with the CA's behind it, for a router whose key
// is in the request, and for the names there. It is ErrInvalid if one of them is
// not under the domain.
func (a *AppsCA) Sign(csr []byte, life time.Duration) ([]byte, error) {
	request, err := readRequest(csr)
	if err != nil {
		return nil, err
	}
	for _, name := range request.DNSNames {
		if bare := strings.TrimPrefix(name, "*."); bare != a.domain && !strings.HasSuffix(bare, "."+a.domain) {
			return nil, app.Invalid("no certificate for %.300q: it is not under %s", name, a.domain)
		}
	}
	t := template(a.domain, life)
	t.DNSNames = request.DNSNames
	t.KeyUsage, t.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	der, err := x509.CreateCertificate(rand.Reader, t, a.ca.cert, request.PublicKey, a.ca.key)
	if err != nil {
		return nil, fmt.Errorf("issue a certificate for apps: %w", err)
	}
	return append(encodePEM(pemCertificate, der), a.PEM()...), nil
}

// Certificate returns a certificate for name; of one that is not under the
// domain, the domain's. It is made anew when two thirds of its life are over.
func (a *AppsCA) Certificate(name string) (*tls.Certificate, error) {
	_, parent, _ := strings.Cut(name, ".")
	if len(name) > 253 || !strings.HasSuffix("."+parent, "."+a.domain) {
		parent = a.domain
	}
	if !strings.Contains(parent, ".") && strings.HasSuffix(name, "."+parent) {
		parent = name // no client takes a wildcard under a single label
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if cert := a.byParent[parent]; cert != nil && time.Until(cert.Leaf.NotAfter) > serverLife/3 {
		return cert, nil
	}
	cert, err := a.ca.issue(parent, []string{parent, "*." + parent}, nil)
	if err != nil {
		return nil, err
	}
	if len(a.byParent) >= maxParents {
		clear(a.byParent)
	}
	a.byParent[parent] = &cert
	return &cert, nil
}
