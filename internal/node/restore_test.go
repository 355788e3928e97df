package node

import (
	"bytes"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"lattice/app"
	"lattice/internal/config"
	"lattice/internal/pki"
	"lattice/store"
)

// madeBrain makes a brain's folder with one app, and returns its configuration
// and the ID of its store.
func madeBrain(t *testing.T) (config.BrainConfig, string) {
	t.Helper()
	cfg := config.BrainConfig{Common: config.Common{DataDir: t.TempDir(), Advertise: "127.0.0.1"}, API: ":7443", Domain: "lab"}
	dir := filepath.Join(cfg.DataDir, "brain")
	_, err1 := pki.OpenCA(dir)
	_, err2 := pki.OpenSecrets(dir)
	s, err3 := store.Open(filepath.Join(dir, storeName))
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	a := app.App{Name: "web", Revision: 1}
	if err := errors.Join(
		s.Commit(app.Change{PutApps: []app.App{a}, PutRevisions: []app.Revision{{App: a}}}), s.Close(),
		os.MkdirAll(filepath.Join(dir, "events"), 0o700),
		os.WriteFile(filepath.Join(dir, "events", "1"), []byte("once upon a time\n"), 0o600),
	); err != nil {
		t.Fatal(err)
	}
	return cfg, s.ID()
}

func backupOf(t *testing.T, cfg config.BrainConfig) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := Backup(t.Context(), cfg, "v1", true, &b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestRestoreBringsTheBrainBack(t *testing.T) {
	cfg, id := madeBrain(t)
	saved := backupOf(t, cfg)
	other := config.Common{DataDir: t.TempDir()}
	done, err := Restore(other, bytes.NewReader(saved), false)
	if err != nil || done.Apps != 1 || done.Domain != "lab" || done.Version != "v1" || done.Old != "" {
		t.Fatalf("%+v %v", done, err)
	}
	for _, name := range []string{"ca.key", "ca.crt", "secrets.json", "events/1"} {
		want, err1 := os.ReadFile(filepath.Join(cfg.DataDir, "brain", name))
		got, err2 := os.ReadFile(filepath.Join(other.DataDir, "brain", name))
		if err := errors.Join(err1, err2); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is another one: %v", name, err)
		}
	}
	err = filepath.WalkDir(other.DataDir, func(path string, d fs.DirEntry, err error) error {
		if info, _ := d.Info(); err == nil && info.Mode().Perm()&0o077 != 0 && path != other.DataDir {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	s, err2 := store.Open(filepath.Join(other.DataDir, "brain", storeName))
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if s.ID() == id {
		t.Error("the store has its old ID: cells would stop what is newer than the backup")
	}
}

func TestRestoreRefuses(t *testing.T) {
	cfg, id := madeBrain(t)
	saved := backupOf(t, cfg)
	if _, err := Restore(cfg.Common, bytes.NewReader(saved), false); !errors.Is(err, app.ErrExists) {
		t.Errorf("over a brain: %v", err)
	}
	release, err := claim(cfg.Common)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(cfg.Common, bytes.NewReader(saved), true); err == nil {
		t.Error("restored under a running brain")
	}
	release()

	// Whatever is wrong with the file, what is there stays as it is.
	damaged := slices.Clone(saved)
	damaged[len(damaged)/2] ^= 0xff
	for what, b := range map[string][]byte{"empty": nil, "no backup": []byte("hello"), "cut off": saved[:len(saved)-20], "damaged": damaged} {
		if _, err := Restore(cfg.Common, bytes.NewReader(b), true); err == nil {
			t.Errorf("%s: restored", what)
		}
		left, _ := filepath.Glob(filepath.Join(cfg.DataDir, "*"))
		hidden, _ := filepath.Glob(filepath.Join(cfg.DataDir, ".restore*"))
		if len(left) != 2 || len(hidden) != 0 { // brain and lock
			t.Errorf("%s: left %v %v", what, left, hidden)
		}
	}
	s, err := store.Open(filepath.Join(cfg.DataDir, "brain", storeName))
	if err != nil || s.ID() != id {
		t.Fatal("the brain has changed", err)
	}
	s.Close()

	done, err := Restore(cfg.Common, bytes.NewReader(saved), true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(done.Old, "secrets.json")); err != nil {
		t.Error("what was there is not put aside:", err)
	}
}

// FuzzRestore gives Restore what nobody wrote: it may refuse, and must not
// touch anything outside of its folder.
func FuzzRestore(f *testing.F) {
	f.Add([]byte("\x1f\x8b"), uint64(1))
	f.Fuzz(func(t *testing.T, b []byte, seed uint64) {
		cfg, _ := madeBrain(t)
		saved := backupOf(t, cfg)
		r := rand.New(rand.NewPCG(seed, 1))
		for range r.IntN(8) {
			saved[r.IntN(len(saved))] = byte(r.Uint32())
		}
		outside := t.TempDir()
		for _, in := range [][]byte{b, saved, append(slices.Clone(saved), b...)} {
			dir := filepath.Join(outside, "data")
			_, _ = Restore(config.Common{DataDir: dir}, bytes.NewReader(in), true)
		}
		if all, _ := os.ReadDir(outside); len(all) > 1 {
			t.Errorf("wrote %v", all)
		}
	})
}
