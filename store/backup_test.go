package store_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"lattice/store"
	"lattice/store/storetest"
)

// TestSnapshotIsOfOneMoment copies a store that is written to all the time.
func TestSnapshotIsOfOneMoment(t *testing.T) {
	s := storetest.Open(t)
	var writer sync.WaitGroup
	stop := make(chan struct{})
	writer.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			if err := s.Commit(created(fmt.Sprint("app-", i))); err != nil {
				t.Error(err)
			}
		}
	})
	for i := range 10 {
		var b bytes.Buffer
		if err := s.Snapshot(&b); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), fmt.Sprint(i))
		if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := store.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Check(); err != nil || c.ID() != s.ID() {
			t.Errorf("copy %d: %v", i, err)
		}
		if err := c.Renew(); err != nil || c.ID() == s.ID() {
			t.Errorf("renewed: %v", err)
		}
		id := c.ID()
		c.Close()
		if c, err = store.Open(path); err != nil || c.ID() != id {
			t.Errorf("after renewing: %v", err)
		}
		c.Close()
	}
	close(stop)
	writer.Wait()
}
