package pki_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"lattice/app"
	"lattice/internal/pki"
)

func TestSecretsAreMadeOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	a, b := openSecrets(t, dir), openSecrets(t, dir)
	if a.Admin() != b.Admin() || !reflect.DeepEqual(a.Ring(), b.Ring()) {
		t.Error("opened again they are others")
	}
	if keys := a.Ring().Keys; len(keys) != 1 || len(keys[0]) != 32 {
		t.Errorf("got %d gossip keys, want one of 32 bytes", len(keys))
	}
	private(t, dir)
}

func TestDamagedSecretsStay(t *testing.T) {
	for _, content := range []string{"", "{}", `{"admin":"a","gossip_key":"AA=="}`, `{"admin":"sesame`, `{"admin":"AAAAAAAAAAAAAAAAAAAAAAAA","gossip":{"revision":1,"keys":["AA=="]}}`} {
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
	_, join, err := s.CreateToken(time.Hour, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, token string
		want        pki.Role
	}{
		{"admin secret", string(s.Admin()), pki.RoleAdmin},
		{"join secret", string(join), pki.RoleJoin},
		{"admin token", pki.Token{Secret: s.Admin()}.Reveal(), pki.RoleAdmin},
		{"join token", pki.Token{Secret: join}.Reveal(), pki.RoleJoin},
		{"nothing", "", ""},
		{"a part", string(s.Admin())[:10], ""},
		{"of another cluster", string(other.Admin()), ""},
		{"the mask", s.Admin().String(), ""},
	} {
		if got, err := s.Role(c.token); got != c.want || errors.Is(err, app.ErrUnauthorized) != (c.want == "") {
			t.Errorf("%s: got %q, %v, want %q", c.name, got, err, c.want)
		}
	}
}

func TestParseToken(t *testing.T) {
	s := openSecrets(t, t.TempDir())
	want := pki.Token{CA: pki.Hash{1, 2, 3}, Secret: s.Admin()}
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
	log.Info("x", "token", token, "secret", s.Admin(), "ring", s.Ring(), "all", s, "nested", struct{ T pki.Token }{token})
	for _, v := range []any{s, s.Admin(), token, &token, []any{token}, struct{ S pki.Secret }{s.Admin()}} {
		b, _ := json.Marshal(v)
		fmt.Fprintf(&out, "%v %+v %s %q %s\n", v, v, v, v, b)
	}
	fmt.Fprintf(&out, "%#v %#v %#v %v %#v\n", s, s.Admin(), token, s.Ring(), s.Ring())
	key := s.Ring().Keys[0]
	for _, secret := range []string{string(s.Admin()), fmt.Sprint(key), base64.StdEncoding.EncodeToString(key)} {
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
