package images_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lattice/app"
	"lattice/images"
)

func settings(t *testing.T, dir string) *images.Settings {
	t.Helper()
	s, err := images.OpenSettings(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// What is known of registries survives a restart; the password only with the key,
// and under its own name.
func TestSealedPasswords(t *testing.T) {
	dir, ctx := t.TempDir(), within(t, time.Minute)
	u := newUpstream(t)
	image, _, _ := u.push(t, "private/web:1", 10_000, 1)
	u.with(basicAuth)
	s := settings(t, dir)
	if err := s.Put(app.Registry{Host: u.host, Username: "me", Password: "s3cret"}); err != nil {
		t.Fatal(err)
	}
	if err := s.Put(app.Registry{Host: u.host, Username: "me", Insecure: true}); err != nil { // without it the password stays
		t.Fatal(err)
	}
	if err := s.Greet(ctx, app.Registry{Host: u.host, Username: "me"}); err != nil {
		t.Errorf("greeted with the password that is known: %v", err)
	}
	if err := s.Greet(ctx, app.Registry{Host: u.host, Username: "me", Mirror: u.URL}); err == nil {
		t.Error("the password is sent elsewhere, as nobody asked for")
	}
	path, key := filepath.Join(dir, "registries.json"), filepath.Join(dir, "registries.key")
	for _, f := range []string{path, key} {
		if info, err := os.Stat(f); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", f, info, err)
		}
	}
	sound, err := os.ReadFile(path)
	if err != nil || bytes.Contains(sound, []byte("s3cret")) {
		t.Fatalf("%s %v", sound, err)
	}
	if err := newBrain(t, dir).pull(ctx, image); err != nil {
		t.Errorf("after a restart: %v", err)
	}

	for _, tt := range []struct {
		name  string
		spoil func(t *testing.T, dir string)
		want  string
	}{
		{"another key", func(t *testing.T, dir string) {
			if err := os.WriteFile(filepath.Join(dir, "registries.key"), bytes.Repeat([]byte{7}, 32), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "can't be read with this key: add it again"},
		{"the key is lost", func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, "registries.key")); err != nil {
				t.Fatal(err)
			}
		}, "can't be read with this key: add it again"},
		{"a bit is another", func(t *testing.T, dir string) {
			change(t, dir, func(sealed []byte) { sealed[len(sealed)-1] ^= 1 })
		}, "can't be read with this key: add it again"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			copied := t.TempDir()
			for _, f := range []string{"registries.json", "registries.key"} {
				b, err := os.ReadFile(filepath.Join(dir, f))
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(copied, f), b, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			tt.spoil(t, copied)
			b := newBrain(t, copied)
			if err := b.pull(ctx, image); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if err := b.settings.Put(app.Registry{Host: u.host, Username: "me", Password: "s3cret"}); err != nil {
				t.Fatal(err)
			}
			if err := b.pull(ctx, image); err != nil {
				t.Errorf("after it was added again: %v", err)
			}
		})
	}

	short := t.TempDir()
	if err := os.WriteFile(filepath.Join(short, "registries.key"), []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := images.OpenSettings(short); err == nil || !strings.Contains(err.Error(), "has 5 bytes, a key has 32") {
		t.Errorf("a short key: %v", err)
	}
	broken := t.TempDir()
	if err := os.WriteFile(filepath.Join(broken, "registries.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := images.OpenSettings(broken); err == nil {
		t.Error("a broken file is read")
	}
}

// change alters the sealed password in the file.
func change(t *testing.T, dir string, fn func(sealed []byte)) {
	t.Helper()
	path := filepath.Join(dir, "registries.json")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var file map[string]any
	if err := json.Unmarshal(b, &file); err != nil {
		t.Fatal(err)
	}
	for _, r := range file["registries"].(map[string]any) {
		var sealed []byte
		text, _ := json.Marshal(r.(map[string]any)["sealed"])
		if err := json.Unmarshal(text, &sealed); err != nil {
			t.Fatal(err)
		}
		fn(sealed)
		r.(map[string]any)["sealed"] = sealed
	}
	if b, err = json.Marshal(file); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// Logins go with their owners, and a change that came to nothing is undone.
func TestLoginsOfOwners(t *testing.T) {
	dir := t.TempDir()
	s := settings(t, dir)
	has := func(owner string) bool {
		b, err := os.ReadFile(filepath.Join(dir, "registries.json"))
		return err == nil && strings.Contains(string(b), `"`+owner+`"`)
	}
	me := app.Login{Username: "me", Password: "s3cret"}
	undo, err := s.SetLogin("app web", "r.lan/web:1", me)
	if err != nil || !has("app web") {
		t.Fatalf("set: %v", err)
	}
	if err := undo(); err != nil || has("app web") {
		t.Errorf("undone: %v", err)
	}
	for _, owner := range []string{"app web", "task web", "schedule web"} {
		if _, err := s.SetLogin(owner, "r.lan/web:1", me); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Forget("app web"); err != nil || has("app web") || !has("task web") {
		t.Errorf("forgotten: %v", err)
	}
	if err := s.Keep(func(owner string) bool { return false }); err != nil || !has("task web") {
		t.Errorf("one whose owner may not exist yet is forgotten: %v", err)
	}
	if _, err := s.SetLogin("app x", "Nix", me); !errors.Is(err, app.ErrInvalid) {
		t.Errorf("no image: %v", err)
	}
}

func TestAllowed(t *testing.T) {
	b := newBrain(t, t.TempDir())
	if err := b.settings.SetAllowed([]string{"["}); !errors.Is(err, app.ErrInvalid) {
		t.Errorf("a bad pattern: %v", err)
	}
	if err := b.settings.SetAllowed([]string{"r.lan/team/*", "cluster/**", "nginx"}); err != nil {
		t.Fatal(err)
	}
	for image, may := range map[string]bool{
		"r.lan/team/web:1": true, "r.lan/team/a/b": false, "r.lan/other/web": false, "cluster/a/b/c": true, "nginx:1": true, "docker.io/library/nginx": true,
		"evil.lan/r.lan/team/web": false, "nginx.evil.lan/x": false, "cluster.evil/x": false,
	} {
		_, err := b.Resolve(within(t, 10*time.Second), image, app.Login{})
		if refused := err != nil && strings.Contains(err.Error(), "may not run here"); refused == may {
			t.Errorf("%s: %v, want that it may run: %v", image, err, may)
		}
	}
}
