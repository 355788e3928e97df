package pki_test

import (
	"crypto/x509"
	"errors"
	"strings"
	"testing"
	"time"

	"lattice/app"
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
	for names, good := range map[string]bool{
		"apps.lab *.apps.lab *.a.apps.lab": true, "*.apps.lab example.com": false, "notapps.lab": false, "*": false,
	} {
		csr, key, err := pki.NewRequest("c1", strings.Fields(names)...)
		if err != nil {
			t.Fatal(err)
		}
		signed, err := ca.Sign(csr, time.Hour)
		if !good {
			if !errors.Is(err, app.ErrInvalid) {
				t.Errorf("signed %q: %v", names, err)
			}
			continue
		}
		cert, err := pki.Identity(signed, key)
		if err == nil {
			_, err = cert.Leaf.Verify(x509.VerifyOptions{DNSName: "x.a.apps.lab", Roots: roots})
		}
		if err != nil || len(cert.Certificate) != 2 {
			t.Errorf("%q: %v", names, err)
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
