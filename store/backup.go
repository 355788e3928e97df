package store

import (
	"fmt"
	"io"

	"go.etcd.io/bbolt"

	"lattice/app"
)

// Snapshot writes the store as it is at this moment to w, as a file that Open
// can open. Commits go on meanwhile; the space of what they replace is free
// again only when Snapshot returns, so w should not be slow.
func (s *Store) Snapshot(w io.Writer) error {
	err := s.db.View(func(tx *bbolt.Tx) error {
		_, err := tx.WriteTo(w)
		return err
	})
	if err != nil {
		return fmt.Errorf("copy the store: %w", err)
	}
	return nil
}

// Renew gives the store another ID, as a copy of an earlier time needs it: cells
// then keep what they were given since, and tell of it, instead of stopping it.
func (s *Store) Renew() error {
	id := app.NewGUID()
	err := s.db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(bucketMeta).Put(keyID, []byte(id)) })
	if err != nil {
		return fmt.Errorf("write store: %w", err)
	}
	s.id = id
	return nil
}
