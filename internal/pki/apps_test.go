package pki_test

import (
	"crypto/x509"
	"testing"

	"lattice/internal/pki"
)

func TestAppsCA(t *testing.T) {
	dir := t.TempDir()
	ca, err := pki.OpenAppsCA(dir, "apps.lab")
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca.PEM())
	for name, good := range map[string]bool{
		"web.apps.lab": true, "apps.lab": true, "a.b.apps.lab": true,
		"": false, "example.com": false, "notapps.lab": false, "x.notapps.lab": false,
	} {
		cert, err := ca.Certificate(name)
		if err != nil {
			t.Fatal(err)
		}
		_, err = cert.Leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: roots})
		if good && err != nil || !good && cert.Leaf.VerifyHostname(name) == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	again, err := pki.OpenAppsCA(dir, "apps.lab")
	if err != nil || string(again.PEM()) != string(ca.PEM()) {
		t.Errorf("the CA is not kept: %v", err)
	}
	other, err := pki.OpenAppsCA(dir, "other.lab")
	if err != nil || string(other.PEM()) == string(ca.PEM()) {
		t.Errorf("another domain has the same CA: %v", err)
	}
}
