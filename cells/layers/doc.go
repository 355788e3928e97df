// Package layers lets cells give each other the layers of images that they have,
// so that the link of the brain is not the limit when many start the same image.
//
// A cell asks the brain for a layer, which answers with the layer or with those
// who have it; from them it is taken, and when that fails at once from the brain
// after all. What is asked for is a digest, and whoever asks checks it: so nobody
// has to be believed. Both sides show the certificates of their cells, and who is
// not among the members any more is refused.
package layers

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
)

// Trust is how cells know each other.
type Trust struct {
	CA          func() string                       // of the cluster, in PEM
	Certificate func() *tls.Certificate             // of this cell
	Cell        func(*x509.Certificate) (id string) // that a certificate is of; "": none
	Member      func(id string) bool                // is it in the cluster now
}

// config is for both sides: certificates of cells name no hosts, so what they
// stand for is looked at here.
func (t Trust) config() *tls.Config {
	return &tls.Config{
		MinVersion:           tls.VersionTLS13,
		GetCertificate:       func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return t.Certificate(), nil },
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return t.Certificate(), nil },
		ClientAuth:           tls.RequireAnyClientCert,
		InsecureSkipVerify:   true, //nolint:gosec // verify does it
		VerifyConnection:     t.verify,
	}
}

// verify accepts members that the cluster's CA has let in.
func (t Trust) verify(cs tls.ConnectionState) error {
	if len(cs.PeerCertificates) == 0 {
		return errors.New("no certificate was shown")
	}
	leaf, roots := cs.PeerCertificates[0], x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(t.CA())) {
		return errors.New("the CA of the cluster is not known yet")
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		return err
	}
	if id := t.Cell(leaf); id == "" || !t.Member(id) {
		return fmt.Errorf("cell %q is not in the cluster", id)
	}
	return nil
}
