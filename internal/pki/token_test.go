package pki_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lattice/app"
	"lattice/internal/pki"
)

func TestSecretsAreMadeOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	a, b := openSecrets(t, dir), openSecrets(t, dir)
	if a.Admin() != b.Admin() || a.Join() != b.Join() || !bytes.Equal(a.GossipKey(), b.GossipKey()) {
		t.Error("opened again they are others")
	}
	if len(a.GossipKey()) != 32 {
		t.Errorf("gossip key has %d bytes, want 32", len(a.GossipKey()))
	}
	private(t, dir)
}

func TestDamagedSecretsStay(t *testing.T) {
	for _, content := range []string{"", "{}", `{"admin":"a","join":"b","gossip_key":"AA=="}`, `{"admin":"sesame`} {
		path := filepath.Join(t.TempDir(), "secrets.json")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := pki.OpenSecrets(filepath.Dir(path))
		if !errors.Is(err, app.ErrInvalid) || strings.Contains(err.Error(), "sesame") {
			t.Errorf("%q: got error %v, want app.ErrInvalid without the content", content, err)
		}
		if b, _ := os.ReadFile(path); string(b) != content {
			t.Errorf("%q was replaced by %q", content, b)
		}
	}
}

func TestRole(t *testing.T) {
	s, other := openSecrets(t, t.TempDir()), openSecrets(t, t.TempDir())
	for _, c := range []struct {
		name, token string
		want        pki.Role
	}{
		{"admin secret", string(s.Admin()), pki.RoleAdmin},
		{"join secret", string(s.Join()), pki.RoleJoin},
		{"admin token", pki.Token{Secret: s.Admin()}.Reveal(), pki.RoleAdmin},
		{"join token", pki.Token{Secret: s.Join()}.Reveal(), pki.RoleJoin},
		{"nothing", "", pki.RoleNone},
		{"a part", string(s.Admin())[:10], pki.RoleNone},
		{"of another cluster", string(other.Admin()), pki.RoleNone},
		{"the mask", s.Admin().String(), pki.RoleNone},
	} {
		if got := s.Role(c.token); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func TestParseToken(t *testing.T) {
	s := openSecrets(t, t.TempDir())
	want := pki.Token{CA: pki.Hash{1, 2, 3}, Secret: s.Join()}
	good := want.Reveal()
	got, err := pki.ParseToken(" " + good + "\n")
	if err != nil || got != want {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	for name, bad := range map[string]string{
		"empty":         "",
		"a word":        "sesame",
		"cut":           good[:len(good)-20],
		"cut in front":  good[10:],
		"other version": strings.Replace(good, "lat1", "lat2", 1),
		"hash damaged":  good[:6] + "!" + good[7:],
		"four parts":    good + ".x",
		"broken line":   good[:60] + "\n" + good[60:],
		"endless":       good + strings.Repeat("A", 1000),
	} {
		_, err := pki.ParseToken(bad)
		if !errors.Is(err, app.ErrInvalid) {
			t.Errorf("%s: got %v, want app.ErrInvalid", name, err)
		} else if len(bad) > 3 && strings.Contains(err.Error(), bad) {
			t.Errorf("%s: the error quotes the token: %v", name, err)
		}
	}
}

func TestSecretsAreNotPrinted(t *testing.T) {
	s := openSecrets(t, t.TempDir())
	token := pki.Token{Secret: s.Admin()}
	var out bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&out, nil))
	log.Info("x", "token", token, "secret", s.Join(), "all", s, "nested", struct{ T pki.Token }{token})
	for _, v := range []any{s, *s, s.Admin(), s.Join(), token, &token, []any{token}, struct{ S pki.Secret }{s.Join()}} {
		b, _ := json.Marshal(v)
		fmt.Fprintf(&out, "%v %+v %s %q %s\n", v, v, v, v, b)
	}
	fmt.Fprintf(&out, "%#v %#v %#v\n", s, s.Admin(), token)
	for _, secret := range []string{string(s.Admin()), string(s.Join()), fmt.Sprint(s.GossipKey())} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("a secret was printed:\n%s", out.String())
		}
	}
}

func FuzzParseToken(f *testing.F) {
	secret := pki.Secret(strings.Repeat("A", 32))
	for _, s := range []string{"", "lat1..", "lat1.AAAA.AAAA", "lat2.x.y", pki.Token{Secret: secret}.Reveal(), "....", "lat1.\x00.é", "lat1.AA\nAA.AA\rAA"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		token, err := pki.ParseToken(s)
		if err != nil {
			return
		}
		if got := token.Reveal(); got != strings.TrimSpace(s) {
			t.Errorf("%q reads back as %q", s, got)
		}
	})
}

func openSecrets(t *testing.T, dir string) *pki.Secrets {
	t.Helper()
	s, err := pki.OpenSecrets(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
