package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"strings"

	"lattice/app"
)

// ServerName is the DNS name in the certificate of every brain, whatever
// address it is called by.
const ServerName = "brain.lattice.internal"

// tlsConfig returns how to know the brain.
func tlsConfig(cfg ClientConfig) (*tls.Config, error) {
	t := &tls.Config{MinVersion: tls.VersionTLS13}
	if cfg.Certificate != nil {
		t.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cfg.Certificate(), nil }
	}
	switch {
	case cfg.CA != "":
		t.ServerName = ServerName
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM([]byte(cfg.CA)) {
			return nil, app.Invalid("the CA has no certificate in it: it must be PEM, starting with -----BEGIN CERTIFICATE-----")
		}
	case cfg.CAHash != "":
		hash, err := parseHash(cfg.CAHash)
		if err != nil {
			return nil, err
		}
		t.ServerName = ServerName
		t.InsecureSkipVerify = true // verifyByHash does it
		t.VerifyConnection = func(cs tls.ConnectionState) error { return verifyByHash(cs.PeerCertificates, hash) }
	}
	return t, nil
}

// parseHash reads a SHA-256 in hex, with or without "sha256:" in front and
// colons between.
func parseHash(text string) ([sha256.Size]byte, error) {
	plain := strings.ReplaceAll(strings.TrimPrefix(strings.ToLower(text), "sha256:"), ":", "")
	b, err := hex.DecodeString(plain)
	if err != nil || len(b) != sha256.Size {
		return [sha256.Size]byte{}, app.Invalid("the hash %.100q of the CA is no SHA-256: it must be 64 of 0-9 and a-f", text)
	}
	return [sha256.Size]byte(b), nil
}

// verifyByHash accepts a chain, leaf first, in which there is the CA with the
// given hash and that leads to this CA.
func verifyByHash(chain []*x509.Certificate, hash [sha256.Size]byte) error {
	opts := x509.VerifyOptions{DNSName: ServerName, Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool()}
	found := false
	for _, cert := range chain {
		sum := sha256.Sum256(cert.Raw)
		if subtle.ConstantTimeCompare(sum[:], hash[:]) == 1 && cert.IsCA {
			opts.Roots.AddCert(cert)
			found = true
		} else {
			opts.Intermediates.AddCert(cert)
		}
	}
	if !found {
		return &tls.CertificateVerificationError{UnverifiedCertificates: chain, Err: errors.New("no certificate of the CA with the given hash is among those shown")}
	}
	if _, err := chain[0].Verify(opts); err != nil {
		return &tls.CertificateVerificationError{UnverifiedCertificates: chain, Err: err}
	}
	return nil
}

// isUntrusted reports whether err says that the server is not the right one.
func isUntrusted(err error) bool {
	var unverified *tls.CertificateVerificationError
	return errors.As(err, &unverified)
}
