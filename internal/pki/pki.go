// Package pki keeps what a cluster trusts: its certificate authority, and in one
// file its secrets, join tokens and the cells that were let in. Secrets are
// never shown by accident. Clients need no certificate of ours installed: a
// Token carries the hash of the CA, and they accept a server whose chain
// contains that CA. A cell gets a short-lived certificate of its own for its
// join token, and is known by it from then on.
package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// ServerName is a DNS name in every server certificate, so that a client can
// ask for it whatever address it dials.
const ServerName = "brain.lattice.internal"

const (
	caLife     = 20 * 365 * 24 * time.Hour
	serverLife = 365 * 24 * time.Hour
	clockSkew  = 24 * time.Hour // certificates are valid that long before they are made
)

// A Hash is the SHA-256 of a CA certificate in DER.
type Hash [sha256.Size]byte

// A CA issues certificates for the servers of one cluster. It is safe for
// concurrent use.
type CA struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	hash Hash
}

// OpenCA returns the CA kept in dir as ca.crt and ca.key (P-256, for 20 years)
// and makes it when there is none. Files and dir are for their owner only. It
// never replaces a CA: all clients would have to be given a new token.
func OpenCA(dir string) (*CA, error) {
	ca, err := loadCA(dir, "ca")
	if errors.Is(err, fs.ErrNotExist) {
		if err := makeCA(dir, "ca", template("lattice CA", caLife)); err != nil {
			return nil, fmt.Errorf("make a certificate authority in %s: %w", dir, err)
		}
		ca, err = loadCA(dir, "ca")
	}
	if err != nil {
		return nil, fmt.Errorf("read the certificate authority: %w", err)
	}
	return ca, nil
}

// PEM returns the CA's certificate.
func (ca *CA) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.cert.Raw})
}

// Ends returns when the CA's own certificate ends.
func (ca *CA) Ends() time.Time { return ca.cert.NotAfter }

// Hash returns what clients pin.
func (ca *CA) Hash() Hash { return ca.hash }

// Server issues a certificate, valid for a year, for ServerName and the given
// names and addresses. The CA's own certificate follows it in the chain.
func (ca *CA) Server(names []string, ips []net.IP) (tls.Certificate, error) {
	names = slices.Concat([]string{ServerName}, names)
	slices.Sort(names)
	return ca.issue("lattice brain", slices.Compact(names), ips)
}

// issue issues a certificate for a server.
func (ca *CA) issue(subject string, names []string, ips []net.IP) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make a server key: %w", err)
	}
	t := template(subject, serverLife)
	t.DNSNames, t.IPAddresses = names, ips
	t.KeyUsage, t.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	der, err := x509.CreateCertificate(rand.Reader, t, ca.cert, key.Public(), ca.key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("issue a certificate for %v %v: %w", names, ips, err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("read the issued certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der, ca.cert.Raw}, PrivateKey: key, Leaf: leaf}, nil
}

// loadCA returns fs.ErrNotExist only if there is no CA yet. A key alone was left
// by a first start that was cut short; a certificate alone is a CA that lost its
// key.
func loadCA(dir, base string) (*CA, error) {
	certPEM, err := os.ReadFile(filepath.Join(dir, base+".crt"))
	if err != nil {
		return nil, err
	}
	keyPEM, err := os.ReadFile(filepath.Join(dir, base+".key"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%[1]s has a %[2]s.crt but no %[2]s.key; bring the key back, or remove %[2]s.crt and have all clients trust another one", dir, base)
	}
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("%[1]s: %[2]s.crt and %[2]s.key: %[3]w", dir, base, err)
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok || !pair.Leaf.IsCA {
		return nil, fmt.Errorf("%s: %s.crt is not a certificate authority of ours", dir, base)
	}
	return &CA{cert: pair.Leaf, key: key, hash: sha256.Sum256(pair.Leaf.Raw)}, nil
}

// makeCA writes the key first, so that the certificate is there only if all is.
func makeCA(dir, base string, t *x509.Certificate) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	t.IsCA, t.BasicConstraintsValid, t.MaxPathLenZero = true, true, true
	t.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := writeFile(filepath.Join(dir, base+".key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})); err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, base+".crt"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func template(name string, life time.Duration) *x509.Certificate {
	serial := make([]byte, 16)
	rand.Read(serial) // never fails
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(serial),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    now.Add(-clockSkew),
		NotAfter:     now.Add(life),
	}
}
