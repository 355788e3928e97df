package pki_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"lattice/app"
	"lattice/internal/pki"
)

const life = 30 * 24 * time.Hour

// A cluster is a CA with its secrets.
type cluster struct {
	*testing.T
	dir string
	ca  *pki.CA
	*pki.Secrets
}

func newCluster(t *testing.T) cluster {
	dir := t.TempDir()
	return cluster{t, dir, openCA(t, dir), openSecrets(t, dir)}
}

// token makes a join token and returns its ID and its text.
func (c cluster) token(ttl time.Duration, uses int) (string, string) {
	c.Helper()
	info, secret, err := c.CreateToken(ttl, uses)
	if err != nil {
		c.Fatal(err)
	}
	return info.ID, pki.Token{CA: c.ca.Hash(), Secret: secret}.Reveal()
}

// join lets a cell in and returns its certificate.
func (c cluster) join(token, cell string) (*x509.Certificate, error) {
	c.Helper()
	csr, key, err := pki.NewRequest(cell)
	if err != nil {
		c.Fatal(err)
	}
	cert, err := c.Secrets.Join(c.ca, token, cell, csr, life)
	if err != nil {
		return nil, err
	}
	pair, err := pki.Identity(cert, key)
	if err != nil {
		c.Fatal(err)
	}
	return pair.Leaf, nil
}

func (c cluster) mustJoin(token, cell string) *x509.Certificate {
	c.Helper()
	cert, err := c.join(token, cell)
	if err != nil {
		c.Fatal(err)
	}
	return cert
}

// refused fails unless err is ErrUnauthorized with these words.
func refused(t *testing.T, err error, words string) {
	t.Helper()
	if !errors.Is(err, app.ErrUnauthorized) || !strings.Contains(err.Error(), words) {
		t.Errorf("got error %v, want one with %q", err, words)
	}
}

func TestTokensThatEndedAreRefusedWithTheReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		_, short := c.token(time.Minute, 0)
		id, revoked := c.token(time.Hour, 0)
		_, once := c.token(time.Hour, 1)
		c.mustJoin(short, "a")
		c.mustJoin(short, "b")
		c.mustJoin(once, "c")
		if err := c.RevokeToken(id); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		for token, words := range map[string]string{short: "expired on", revoked: "was revoked on", once: "has been used 1 times", "x": "not known"} {
			_, err := c.Role(token)
			refused(t, err, words)
			_, err = c.join(token, "d")
			refused(t, err, words)
			if strings.Contains(fmt.Sprint(err), token) && token != "x" {
				t.Errorf("the error quotes the token: %v", err)
			}
		}
		if c.Welcome("d") {
			t.Error("a cell was let in without a token")
		}
		if err := c.RevokeToken("none"); !errors.Is(err, app.ErrNotFound) {
			t.Errorf("revoke what isn't there: %v", err)
		}
	})
}

func TestTokensAreListedWithoutTheirSecretAndForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		_, token := c.token(time.Hour, 5)
		c.mustJoin(token, "a")
		c.mustJoin(token, "a")
		secret := token[strings.LastIndex(token, ".")+1:]
		file, err := os.ReadFile(filepath.Join(c.dir, "secrets.json"))
		if err != nil {
			t.Fatal(err)
		}
		raw, err := base64.RawURLEncoding.DecodeString(secret)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{string(file), fmt.Sprintf("%+v", c.Tokens())} {
			if strings.Contains(text, secret) || strings.Contains(text, hex.EncodeToString(raw)) {
				t.Errorf("the secret is in %s", text)
			}
		}
		got := openSecrets(t, c.dir).Tokens() // as the next process reads them
		if len(got) != 1 || got[0].Used != 2 || !slices.Equal(got[0].Cells, []string{"a"}) || got[0].State(time.Now()) != "valid" {
			t.Errorf("got %+v", got)
		}
		time.Sleep(8 * 24 * time.Hour)
		c.token(time.Hour, 0)
		if got := c.Tokens(); len(got) != 1 || got[0].Used != 0 {
			t.Errorf("after a week: %+v", got)
		}
	})
}

func TestCreateTokenRefuses(t *testing.T) {
	c := newCluster(t)
	for _, tt := range []struct {
		ttl  time.Duration
		uses int
	}{{0, 0}, {-time.Hour, 0}, {366 * 24 * time.Hour, 0}, {time.Hour, -1}, {time.Hour, 1001}} {
		if _, _, err := c.CreateToken(tt.ttl, tt.uses); !errors.Is(err, app.ErrInvalid) {
			t.Errorf("%v: got %v, want app.ErrInvalid", tt, err)
		}
	}
}

func TestACellIsKnownByItsCertificate(t *testing.T) {
	c := newCluster(t)
	_, token := c.token(time.Hour, 0)
	cert := c.mustJoin(token, "c1")
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(c.ca.PEM())
	if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		t.Error(err)
	}
	if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, DNSName: pki.ServerName}); err == nil {
		t.Error("the certificate of a cell is good for a brain")
	}
	id, in, err := c.Cell(cert)
	if id != "c1" || err != nil || in.Err() != nil {
		t.Errorf("got %q, %v", id, err)
	}
	server, err := c.ca.Server(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = c.Cell(server.Leaf)
	refused(t, err, "not one of a cell")
	if id, _, err := openSecrets(t, c.dir).Cell(cert); id != "c1" || err != nil {
		t.Errorf("after a restart: %q, %v", id, err)
	}
	c.mustJoin(token, "c1") // by somebody else, or by the same one with a new disk
	_, _, err = c.Cell(cert)
	refused(t, err, "another machine has joined as the cell c1")
	if context.Cause(in) == nil {
		t.Error("the streams of the former c1 go on")
	}
}

func TestOnlyAKeyOfItsOwnIsSigned(t *testing.T) {
	c := newCluster(t)
	good, _, err := pki.NewRequest("c1")
	if err != nil {
		t.Fatal(err)
	}
	forged, _ := pem.Decode(good)
	forged.Bytes[len(forged.Bytes)-1] ^= 1
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	other, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	for name, csr := range map[string][]byte{
		"nothing": nil, "a word": []byte("csr"), "a certificate": c.ca.PEM(), "forged": pem.EncodeToMemory(forged),
		"cut": good[:len(good)/2], "RSA": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: other}),
	} {
		_, token := c.token(time.Hour, 1)
		if _, err := c.Secrets.Join(c.ca, token, "c1", csr, life); !errors.Is(err, app.ErrInvalid) {
			t.Errorf("%s: got %v, want app.ErrInvalid", name, err)
		}
		if _, err := c.Role(token); err != nil {
			t.Errorf("%s: the token was spent on it: %v", name, err)
		}
	}
}

func TestRenewalKeepsACellIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		_, token := c.token(time.Hour, 0)
		first := c.mustJoin(token, "c1")
		_, in, err := c.Cell(first)
		if err != nil {
			t.Fatal(err)
		}
		if at := time.Until(pki.RenewAt(first)); at < 19*24*time.Hour || at > 21*24*time.Hour {
			t.Errorf("to be renewed in %v, want 20 days", at)
		}
		time.Sleep(20 * 24 * time.Hour)
		csr, key, err := pki.NewRequest("c1")
		if err != nil {
			t.Fatal(err)
		}
		cert, err := c.Renew(c.ca, "c1", csr, life)
		if err != nil {
			t.Fatal(err)
		}
		second, err := pki.Identity(cert, key)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * 24 * time.Hour)
		synctest.Wait()
		if _, _, err := c.Cell(second.Leaf); err != nil || in.Err() != nil {
			t.Errorf("after the first certificate ran out: %v, stream %v", err, context.Cause(in))
		}
		time.Sleep(10*24*time.Hour + time.Minute)
		synctest.Wait()
		refused(t, context.Cause(in), "ran out on")
		_, _, err = c.Cell(second.Leaf)
		refused(t, err, "ran out on")
		_, err = c.Renew(c.ca, "c1", csr, life)
		refused(t, err, "ran out on")
	})
}

func TestARevokedCellIsOutUntilItJoinsAnew(t *testing.T) {
	c := newCluster(t)
	id, token := c.token(time.Hour, 0)
	_, other := c.token(time.Hour, 0)
	cert, stays := c.mustJoin(token, "c1"), c.mustJoin(other, "c2")
	_, in, err := c.Cell(cert)
	if err != nil {
		t.Fatal(err)
	}
	before, changed := c.Ring(), c.Changed()
	tokens, err := c.Revoke("c1")
	if err != nil || !slices.Equal(tokens, []string{id}) {
		t.Errorf("got tokens %v, %v, want %s", tokens, err, id)
	}
	<-changed
	refused(t, context.Cause(in), "was put out")
	for _, s := range []*pki.Secrets{c.Secrets, openSecrets(t, c.dir)} {
		_, _, err = s.Cell(cert)
		refused(t, err, "was put out")
		if s.Welcome("c1") || !s.Welcome("c2") {
			t.Error("the wrong one is welcome")
		}
	}
	csr, _, err := pki.NewRequest("c1")
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Renew(c.ca, "c1", csr, life)
	refused(t, err, "was put out")
	_, err = c.join(token, "c1")
	refused(t, err, "was revoked")
	if _, _, err := c.Cell(stays); err != nil {
		t.Errorf("another cell: %v", err)
	}
	if now := c.Ring(); len(now.Keys) != 2 || bytes.Equal(now.Keys[0], before.Keys[0]) {
		t.Error("the gossip key is not being changed")
	}
	c.mustJoin(other, "c1")
	if !c.Welcome("c1") {
		t.Error("not welcome after it joined anew")
	}
	_, _, err = c.Cell(cert)
	refused(t, err, "another machine")
	if _, err := c.Revoke("c9"); !errors.Is(err, app.ErrNotFound) {
		t.Errorf("revoke what isn't there: %v", err)
	}
}

func TestRingChangesInThreeSteps(t *testing.T) {
	c := newCluster(t)
	show := func() string {
		r := openSecrets(t, c.dir).Ring()
		names := make([]string, 0, len(r.Keys))
		for _, k := range r.Order() {
			names = append(names, hex.EncodeToString(k[:2]))
		}
		return strings.Join(names, " ")
	}
	name := func(k []byte) string { return hex.EncodeToString(k[:2]) }
	old := name(c.Ring().Keys[0])
	r, err := c.Rotate()
	if err != nil {
		t.Fatal(err)
	}
	fresh := name(r.Keys[0])
	for i, want := range []string{old + " " + fresh, fresh + " " + old, fresh} {
		if got := show(); got != want {
			t.Errorf("step %d: got keys %s, want %s", i, got, want)
		}
		r := c.Ring()
		if r.Settled() != (i == 2) {
			t.Errorf("step %d: settled is %v", i, r.Settled())
		}
		if err := c.Advance(r.Revision - 1); !errors.Is(err, app.ErrConflict) {
			t.Errorf("step %d out of turn: %v", i, err)
		}
		if err := c.Advance(r.Revision); (err != nil) != (i == 2) {
			t.Errorf("step %d: %v", i, err)
		}
	}
	// A second change begins while the first is under way.
	for range 2 {
		if _, err := c.Rotate(); err != nil {
			t.Fatal(err)
		}
	}
	if got := c.Ring().Order()[0]; name(got) != fresh {
		t.Error("a key seals that nobody has yet")
	}
	for !c.Ring().Settled() {
		if err := c.Advance(c.Ring().Revision); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAFileOfBeforeIsRead(t *testing.T) {
	dir := t.TempDir()
	admin := strings.Repeat("A", 32)
	key := sha256.Sum256(nil)
	old := fmt.Sprintf(`{"admin":%q,"join":"x","gossip_key":%q}`, admin, base64.StdEncoding.EncodeToString(key[:]))
	if err := os.WriteFile(filepath.Join(dir, "secrets.json"), []byte(old), 0o600); err != nil {
		t.Fatal(err)
	}
	s := openSecrets(t, dir)
	if string(s.Admin()) != admin || !bytes.Equal(s.Ring().Keys[0], key[:]) || !s.Ring().Settled() {
		t.Error("its secrets are lost")
	}
}

func FuzzJoinRequest(f *testing.F) {
	good, _, err := pki.NewRequest("c1")
	if err != nil {
		f.Fatal(err)
	}
	dir := f.TempDir()
	ca, err := pki.OpenCA(dir)
	if err != nil {
		f.Fatal(err)
	}
	s, err := pki.OpenSecrets(dir)
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range [][]byte{good, nil, []byte("-----BEGIN CERTIFICATE REQUEST-----\n"), ca.PEM()} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, csr []byte) {
		if _, err := s.Admit(ca, "c1", csr, time.Hour); err != nil && !errors.Is(err, app.ErrInvalid) {
			t.Errorf("got %v", err)
		}
	})
}
