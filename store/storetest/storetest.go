// Package storetest opens stores for tests and checks each of them when the
// test ends, so that every test is also a test of the store's soundness.
package storetest

import (
	"path/filepath"
	"testing"

	"lattice/store"
)

// Open opens a new store in a folder of t's own.
func Open(t testing.TB) *store.Store {
	t.Helper()
	return OpenAt(t, filepath.Join(t.TempDir(), "brain.db"))
}

// OpenAt opens the store at path. It is checked and closed when t ends.
func OpenAt(t testing.TB, path string) *store.Store {
	t.Helper()
	s, err := store.Open(path)
	if err != nil {
		t.Fatalf("open store: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Check(); err != nil {
			t.Errorf("store is unsound after the test: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("close store: %v", err)
		}
	})
	return s
}
