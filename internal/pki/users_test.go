package pki_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"lattice/app"
	"lattice/internal/pki"
)

func TestUsers(t *testing.T) {
	dir := t.TempDir()
	u, err := pki.OpenUsers(dir)
	if err != nil {
		t.Fatal(err)
	}
	const password = "a password of some length"
	ann, token, err := u.Add("ann", pki.RoleViewer, password)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := u.Add("bob", pki.RoleAdmin, ""); err != nil {
		t.Fatal(err)
	}
	again, err := pki.OpenUsers(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range []*pki.Users{u, again} {
		if got, err := u.Login("ann", password); err != nil || got.Role != pki.RoleViewer {
			t.Errorf("login: %+v, %v", got, err)
		}
		if got, err := u.Bearer(string(token)); err != nil || got.Name != "ann" {
			t.Errorf("bearer: %+v, %v", got, err)
		}
	}
	for _, tt := range [][2]string{{"ann", "another password"}, {"ann", ""}, {"bob", ""}, {"carl", password}, {"", ""}} {
		if got, err := u.Login(tt[0], tt[1]); !errors.Is(err, app.ErrUnauthorized) {
			t.Errorf("login of %q with %q: %+v, %v", tt[0], tt[1], got, err)
		}
	}
	changed, fresh, err := u.NewToken("ann")
	if err != nil || !changed.Changed.After(ann.Changed) {
		t.Errorf("new token: %+v, %v", changed, err)
	}
	if _, err := u.Bearer(string(token)); !errors.Is(err, app.ErrUnauthorized) {
		t.Errorf("the old token: %v", err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "users.json"))
	if err != nil || bytes.Contains(b, []byte(password)) || bytes.Contains(b, []byte(string(fresh))) {
		t.Errorf("the file has a secret, or: %v", err)
	}
	if err := u.Remove("ann"); err != nil {
		t.Fatal(err)
	}
	if _, err := u.Bearer(string(fresh)); !errors.Is(err, app.ErrUnauthorized) {
		t.Errorf("the token of a user who was removed: %v", err)
	}
	if err := u.Remove("ann"); !errors.Is(err, app.ErrNotFound) {
		t.Errorf("removed twice: %v", err)
	}
}

func TestUsersThatCannotBe(t *testing.T) {
	u, err := pki.OpenUsers(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name     string
		role     pki.Role
		password pki.Secret
	}{
		{"", pki.RoleAdmin, ""}, {"Ann", pki.RoleAdmin, ""}, {"a b", pki.RoleAdmin, ""}, {"admin", pki.RoleAdmin, ""},
		{"ann", pki.RoleJoin, ""}, {"ann", "", ""}, {"ann", pki.RoleAdmin, "short"},
	} {
		if _, _, err := u.Add(tt.name, tt.role, tt.password); !errors.Is(err, app.ErrInvalid) {
			t.Errorf("%+v: %v", tt, err)
		}
	}
	if _, _, err := u.Add("ann", pki.RoleViewer, ""); err != nil {
		t.Fatal(err)
	}
	if _, _, err := u.Add("ann", pki.RoleViewer, ""); !errors.Is(err, app.ErrExists) {
		t.Errorf("twice: %v", err)
	}
	if _, err := u.SetPassword("ann", ""); !errors.Is(err, app.ErrInvalid) {
		t.Errorf("an empty password: %v", err)
	}
}
