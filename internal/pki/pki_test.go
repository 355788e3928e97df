package pki_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"lattice/internal/pki"
)

func TestCAIsMadeOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	first := openCA(t, dir)
	second := openCA(t, dir)
	if first.Hash() != second.Hash() || !bytes.Equal(first.PEM(), second.PEM()) {
		t.Error("opened again it is another one")
	}
	block, _ := pem.Decode(first.PEM())
	if got := pki.Hash(sha256.Sum256(block.Bytes)); got != first.Hash() {
		t.Errorf("got hash %x, want that of the DER, %x", first.Hash(), got)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if years := time.Until(cert.NotAfter).Hours() / 24 / 365; years < 19.9 {
		t.Errorf("valid for %.1f years, want 20", years)
	}
	private(t, dir)
}

func TestCAIsNeverReplaced(t *testing.T) {
	for _, c := range []struct {
		name   string
		damage func(dir string) error
		want   string // part of the error; empty: it opens
	}{
		{"first start cut short after the key", func(d string) error { return os.Remove(filepath.Join(d, "ca.crt")) }, ""},
		{"key lost", func(d string) error { return os.Remove(filepath.Join(d, "ca.key")) }, "has a ca.crt but no ca.key"},
		{"key garbled", func(d string) error { return os.WriteFile(filepath.Join(d, "ca.key"), []byte("x"), 0o600) }, "ca.crt and ca.key"},
		{"certificate garbled", func(d string) error { return os.WriteFile(filepath.Join(d, "ca.crt"), nil, 0o600) }, "ca.crt and ca.key"},
		{"a file in the way", func(d string) error { os.RemoveAll(d); return os.WriteFile(d, nil, 0o600) }, "not a directory"},
	} {
		dir := filepath.Join(t.TempDir(), "pki")
		openCA(t, dir)
		if err := c.damage(dir); err != nil {
			t.Fatal(err)
		}
		_, err := pki.OpenCA(dir)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: got error %v, want %q in it", c.name, err, c.want)
		}
	}
}

func TestClientPinsCA(t *testing.T) {
	ours, other := openCA(t, t.TempDir()), openCA(t, t.TempDir())
	ln, err := tls.Listen("tcp", "127.0.0.1:0", ours.TLSConfig([]string{"box.lan"}, []net.IP{net.IPv4(127, 0, 0, 1)}))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			conn.(*tls.Conn).Handshake()
			conn.Close()
		}
	}()
	for _, c := range []struct {
		name, dial string
		pin        pki.Hash
		max        uint16
		want       string
	}{
		{"our name", pki.ServerName, ours.Hash(), 0, ""},
		{"its own name", "box.lan", ours.Hash(), 0, ""},
		{"its address", "127.0.0.1", ours.Hash(), 0, ""},
		{"a foreign name", "evil.example", ours.Hash(), 0, "not evil.example"},
		{"another CA", pki.ServerName, other.Hash(), 0, "not the pinned CA"},
		{"old TLS", pki.ServerName, ours.Hash(), tls.VersionTLS12, "protocol version"},
	} {
		conn, err := tls.Dial("tcp", ln.Addr().String(), pinned(c.dial, c.pin, c.max))
		if err == nil {
			conn.Close()
		}
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: got error %v, want %q in it", c.name, err, c.want)
		}
	}
}

func TestServerCertificateRenewsItself(t *testing.T) {
	ca := openCA(t, t.TempDir())
	synctest.Test(t, func(t *testing.T) {
		cfg := ca.TLSConfig(nil, nil)
		serial := func() string {
			cert, err := cfg.GetCertificate(nil)
			if err != nil {
				t.Fatal(err)
			}
			if left := time.Until(cert.Leaf.NotAfter); left < 121*24*time.Hour {
				t.Errorf("handed out a certificate with %v left", left)
			}
			return cert.Leaf.SerialNumber.String()
		}
		first := serial()
		time.Sleep(200 * 24 * time.Hour)
		if serial() != first {
			t.Error("renewed before two thirds of its life were over")
		}
		time.Sleep(50 * 24 * time.Hour)
		if serial() == first {
			t.Error("not renewed after two thirds of its life")
		}
	})
}

// pinned is what a client does: it trusts a chain that contains the pinned CA.
func pinned(name string, pin pki.Hash, max uint16) *tls.Config {
	return &tls.Config{
		ServerName: name, MaxVersion: max,
		InsecureSkipVerify: true, // replaced by:
		VerifyConnection: func(cs tls.ConnectionState) error {
			roots := x509.NewCertPool()
			for _, c := range cs.PeerCertificates[1:] {
				if sha256.Sum256(c.Raw) == pin {
					roots.AddCert(c)
				}
			}
			_, err := cs.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, DNSName: name})
			if errors.As(err, new(x509.UnknownAuthorityError)) {
				return fmt.Errorf("not the pinned CA: %w", err)
			}
			return err
		},
	}
}

func openCA(t *testing.T, dir string) *pki.CA {
	t.Helper()
	ca, err := pki.OpenCA(dir)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

// private fails unless dir and all in it are for their owner only.
func private(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v, others can read it", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
