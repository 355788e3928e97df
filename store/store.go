// Package store keeps what must survive the brain: apps and placements, in one
// bbolt file. A Commit that returned without error is on disk. The package
// decides nothing and keeps nothing in memory; it is safe for concurrent use.
package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"

	"lattice/app"
)

// Schema is the version of the layout this package reads and writes.
const Schema = "1"

// lockWait bounds how long Open waits for another process to let go of the file.
const lockWait = 5 * time.Second

var (
	bucketMeta       = []byte("meta")       // schema, id
	bucketApps       = []byte("apps")       // App.Name → JSON of App
	bucketPlacements = []byte("placements") // Placement.ID → JSON of Placement

	keySchema = []byte("schema")
	keyID     = []byte("id")
)

// A Store is an open file. Close it.
type Store struct {
	db *bbolt.DB
	id string
}

// Open opens the file at path, or makes it. It fails when another process
// has it open, and when it was written by a newer version.
func Open(path string) (*Store, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("make the store's folder: %w", err)
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockWait, FreelistType: bbolt.FreelistMapType})
	if errors.Is(err, bbolterrors.ErrTimeout) {
		return nil, fmt.Errorf("open store %s: another process has it open: is a brain running already?", path)
	}
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", path, err)
	}
	s := &Store{db: db}
	if err := db.Update(s.prepare); err != nil {
		db.Close()
		return nil, fmt.Errorf("open store %s: %w", path, err)
	}
	return s, nil
}

// prepare makes what a new file lacks and refuses a file of another schema.
func (s *Store) prepare(tx *bbolt.Tx) error {
	for _, name := range [][]byte{bucketMeta, bucketApps, bucketPlacements} {
		if _, err := tx.CreateBucketIfNotExists(name); err != nil {
			return err
		}
	}
	meta := tx.Bucket(bucketMeta)
	if have := meta.Get(keySchema); have == nil {
		if err := errors.Join(meta.Put(keySchema, []byte(Schema)), meta.Put(keyID, []byte(app.NewGUID()))); err != nil {
			return err
		}
	} else if string(have) != Schema {
		return fmt.Errorf("it has schema %s, this version knows %s: use the version that wrote it", have, Schema)
	}
	s.id = string(meta.Get(keyID))
	return nil
}

// Close releases the file.
func (s *Store) Close() error { return s.db.Close() }

// ID returns the random name the store got when it was made. It tells a cell
// whether the brain that speaks is the one that gave it its work.
func (s *Store) ID() string { return s.id }

// Load returns all there is, apps by name and placements by ID. The caller owns the slices.
func (s *Store) Load() ([]app.App, []app.Placement, error) {
	var apps []app.App
	var placements []app.Placement
	err := s.db.View(func(tx *bbolt.Tx) error {
		return errors.Join(each(tx, bucketApps, &apps), each(tx, bucketPlacements, &placements))
	})
	if err != nil {
		return nil, nil, fmt.Errorf("read store: %w", err)
	}
	return apps, placements, nil
}

func each[T any](tx *bbolt.Tx, bucket []byte, to *[]T) error {
	return tx.Bucket(bucket).ForEach(func(k, v []byte) error {
		var one T
		if err := json.Unmarshal(v, &one); err != nil {
			return fmt.Errorf("%s %q: %w", bucket, k, err)
		}
		*to = append(*to, one)
		return nil
	})
}

// Commit writes all of c or nothing, and returns when it is on disk.
func (s *Store) Commit(c app.Change) error {
	err := s.db.Update(func(tx *bbolt.Tx) error {
		apps, placements := tx.Bucket(bucketApps), tx.Bucket(bucketPlacements)
		var errs []error
		for _, a := range c.PutApps {
			errs = append(errs, put(apps, a.Name, a))
		}
		for _, name := range c.DeleteApps {
			errs = append(errs, apps.Delete([]byte(name)))
		}
		for _, p := range c.PutPlacements {
			errs = append(errs, put(placements, p.ID, p))
		}
		for _, id := range c.DeletePlacements {
			errs = append(errs, placements.Delete([]byte(id)))
		}
		return errors.Join(errs...)
	})
	if err != nil {
		return fmt.Errorf("write store: %w", err)
	}
	return nil
}

func put(b *bbolt.Bucket, key string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return b.Put([]byte(key), data)
}

// Check reads everything and returns what contradicts itself: pages that are
// broken, keys that don't match their values, two placements of one index.
func (s *Store) Check() error {
	var errs []error
	err := s.db.View(func(tx *bbolt.Tx) error {
		for err := range tx.Check() {
			errs = append(errs, err)
		}
		var apps []app.App
		if err := each(tx, bucketApps, &apps); err != nil {
			return err
		}
		for _, a := range apps {
			if tx.Bucket(bucketApps).Get([]byte(a.Name)) == nil {
				errs = append(errs, fmt.Errorf("app %q is stored under another name", a.Name))
			}
		}
		var placements []app.Placement
		if err := each(tx, bucketPlacements, &placements); err != nil {
			return err
		}
		seen := map[string]string{}
		for _, p := range placements {
			if tx.Bucket(bucketPlacements).Get([]byte(p.ID)) == nil {
				errs = append(errs, fmt.Errorf("placement %q is stored under another ID", p.ID))
			}
			at := fmt.Sprintf("%s/%d", p.App, p.Index)
			if other, ok := seen[at]; ok {
				errs = append(errs, fmt.Errorf("%s is placed twice: %s and %s", at, other, p.ID))
			}
			seen[at] = p.ID
		}
		return nil
	})
	return errors.Join(append(errs, err)...)
}
