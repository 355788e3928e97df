package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"net/url"
	"strings"
	"time"

	"lattice/app"
)

// A cell's certificate names it in a URI, lattice://cell/ID/JOIN, of which JOIN
// is that of its admission. The common name is for people.
const (
	uriScheme = "lattice"
	uriCell   = "cell"
)

const (
	pemRequest     = "CERTIFICATE REQUEST"
	pemCertificate = "CERTIFICATE"
	pemKey         = "PRIVATE KEY"
)

// NewRequest makes a private key (P-256) and the request for a certificate of
// it, both in PEM. What it says of the cell is for people: the one who signs
// knows better. names are those of servers that the certificate shall be for.
func NewRequest(cell string, names ...string) (csr []byte, key Secret, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, "", fmt.Errorf("make the cell's key: %w", err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: cell}, DNSNames: names}, private)
	if err != nil {
		return nil, "", fmt.Errorf("make the request for a certificate: %w", err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, "", fmt.Errorf("encode the cell's key: %w", err)
	}
	return encodePEM(pemRequest, der), Secret(encodePEM(pemKey, keyDER)), nil
}

// Identity returns a certificate of NewRequest's key for the use in TLS.
func Identity(cert []byte, key Secret) (*tls.Certificate, error) {
	pair, err := tls.X509KeyPair(cert, []byte(key))
	if err != nil {
		return nil, fmt.Errorf("the cell's certificate and key: %w", err)
	}
	return &pair, nil
}

// RenewAt returns when two thirds of the life of a cell's certificate are over.
func RenewAt(cert *x509.Certificate) time.Time {
	issued := cert.NotBefore.Add(clockSkew)
	return issued.Add(cert.NotAfter.Sub(issued) * 2 / 3)
}

// cell signs the key in csr for the cell. Nothing else of csr counts.
func (ca *CA) cell(csr []byte, id, join string, life time.Duration) (cert []byte, until time.Time, err error) {
	request, err := readRequest(csr)
	if err != nil {
		return nil, until, err
	}
	t := template(id, life)
	t.URIs = []*url.URL{{Scheme: uriScheme, Host: uriCell, Path: "/" + id + "/" + join}}
	t.KeyUsage, t.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	der, err := x509.CreateCertificate(rand.Reader, t, ca.cert, request.PublicKey, ca.key)
	if err != nil {
		return nil, until, fmt.Errorf("issue a certificate for the cell %s: %w", id, err)
	}
	return encodePEM(pemCertificate, der), t.NotAfter.UTC().Truncate(time.Second), nil // as the certificate has it
}

// readRequest reads a request that NewRequest made. Errors are ErrInvalid.
func readRequest(csr []byte) (*x509.CertificateRequest, error) {
	block, _ := pem.Decode(csr)
	if block == nil || block.Type != pemRequest {
		return nil, app.Invalid("the request for a certificate is not one in PEM")
	}
	request, err := x509.ParseCertificateRequest(block.Bytes)
	if err == nil {
		err = request.CheckSignature()
	}
	if err != nil {
		return nil, app.Invalid("the request for a certificate can't be used: %v", err)
	}
	key, ok := request.PublicKey.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, app.Invalid("the request for a certificate has a key that is not of the kind P-256")
	}
	return request, nil
}

// CellOf returns the cell that a certificate is of; "" when it is no cell's.
func CellOf(cert *x509.Certificate) string {
	id, _, ok := identityOf(cert)
	if !ok {
		return ""
	}
	return id
}

// identityOf returns what a certificate of a cell says.
func identityOf(cert *x509.Certificate) (id, join string, ok bool) {
	if len(cert.URIs) != 1 {
		return "", "", false
	}
	u := cert.URIs[0]
	id, join, ok = strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
	return id, join, ok && u.Scheme == uriScheme && u.Host == uriCell && id != "" && join != ""
}

func encodePEM(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
