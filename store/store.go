// Package store keeps what must survive the brain: apps with their revisions,
// placements, what people ordered of cells, tasks, schedules, where volumes are, and
// features, in one bbolt file. A Commit that returned without error is on disk. The package decides
// nothing and keeps nothing in memory; it is safe for concurrent use.
package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
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
	bucketRevisions  = []byte("revisions")  // revisionKey → JSON of Revision
	bucketOrders     = []byte("orders")     // CellOrder.Cell → JSON of CellOrder
	bucketTasks      = []byte("tasks")      // Task.Name → JSON of Task
	bucketSchedules  = []byte("schedules")  // Schedule.Name → JSON of Schedule
	bucketVolumes    = []byte("volumes")    // StoredVolume.ID → JSON of StoredVolume
	bucketFeatures   = []byte("features")   // Feature.Name → JSON of Feature; those that somebody changed

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
	for _, name := range [][]byte{bucketMeta, bucketApps, bucketPlacements, bucketRevisions, bucketOrders, bucketTasks, bucketSchedules, bucketVolumes, bucketFeatures} {
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

// Load returns all there is: apps by name, placements by ID, revisions by app
// and number, orders by cell, tasks and schedules by name, volumes by ID. The
// caller owns it.
func (s *Store) Load() (app.Desired, error) {
	var st app.Desired
	err := s.db.View(func(tx *bbolt.Tx) error {
		return errors.Join(each(tx, bucketApps, &st.Apps), each(tx, bucketPlacements, &st.Placements),
			each(tx, bucketRevisions, &st.Revisions), each(tx, bucketOrders, &st.Orders),
			each(tx, bucketTasks, &st.Tasks), each(tx, bucketSchedules, &st.Schedules),
			each(tx, bucketVolumes, &st.Volumes), each(tx, bucketFeatures, &st.Features))
	})
	if err != nil {
		return app.Desired{}, fmt.Errorf("read store: %w", err)
	}
	return st, nil
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

// Commit writes all of c or nothing, and returns when it is on disk. It is
// app.ErrFull when there is no room for it.
func (s *Store) Commit(c app.Change) error {
	err := s.db.Update(func(tx *bbolt.Tx) error {
		return errors.Join(
			putAll(tx, bucketApps, c.PutApps, func(a app.App) string { return a.Name }),
			deleteApps(tx, c.DeleteApps),
			putAll(tx, bucketPlacements, c.PutPlacements, func(p app.Placement) string { return p.ID }),
			deleteAll(tx, bucketPlacements, c.DeletePlacements),
			putAll(tx, bucketRevisions, c.PutRevisions, func(r app.Revision) string { return revisionKey(r.App.Name, r.App.Revision) }),
			deleteRevisions(tx, c.DeleteRevisions),
			putAll(tx, bucketOrders, c.PutOrders, func(o app.CellOrder) string { return o.Cell }),
			deleteAll(tx, bucketOrders, c.DeleteOrders),
			putAll(tx, bucketTasks, c.PutTasks, func(t app.Task) string { return t.Name }),
			deleteAll(tx, bucketTasks, c.DeleteTasks),
			putAll(tx, bucketSchedules, c.PutSchedules, func(s app.Schedule) string { return s.Name }),
			deleteAll(tx, bucketSchedules, c.DeleteSchedules),
			putAll(tx, bucketVolumes, c.PutVolumes, func(v app.StoredVolume) string { return v.ID }),
			deleteAll(tx, bucketVolumes, c.DeleteVolumes),
			putAll(tx, bucketFeatures, c.PutFeatures, func(f app.Feature) string { return f.Name }),
		)
	})
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w, nothing was changed: free some space there and try again: %w", app.ErrFull, err)
	}
	if err != nil {
		return fmt.Errorf("write store: %w", err)
	}
	return nil
}

// revisionKey sorts by app, then by number. A name has no slash.
func revisionKey(name string, number uint64) string { return fmt.Sprintf("%s/%020d", name, number) }

func putAll[T any](tx *bbolt.Tx, bucket []byte, all []T, key func(T) string) error {
	for _, v := range all {
		data, err := json.Marshal(v)
		if err != nil {
			return err
		}
		if err := tx.Bucket(bucket).Put([]byte(key(v)), data); err != nil {
			return err
		}
	}
	return nil
}

func deleteAll(tx *bbolt.Tx, bucket []byte, keys []string) error {
	for _, k := range keys {
		if err := tx.Bucket(bucket).Delete([]byte(k)); err != nil {
			return err
		}
	}
	return nil
}

func deleteRevisions(tx *bbolt.Tx, keys []app.RevisionKey) error {
	for _, k := range keys {
		if err := tx.Bucket(bucketRevisions).Delete([]byte(revisionKey(k.App, k.Number))); err != nil {
			return err
		}
	}
	return nil
}

// deleteApps deletes apps with all their revisions.
func deleteApps(tx *bbolt.Tx, names []string) error {
	for _, name := range names {
		prefix := []byte(name + "/")
		c := tx.Bucket(bucketRevisions).Cursor()
		for k, _ := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, _ = c.Seek(prefix) {
			if err := c.Delete(); err != nil {
				return err
			}
		}
	}
	return deleteAll(tx, bucketApps, names)
}

// Check reads everything and returns what contradicts itself: pages that are
// broken, keys that don't match their values, placements of a revision that
// isn't there.
func (s *Store) Check() error {
	var errs []error
	err := s.db.View(func(tx *bbolt.Tx) error {
		for err := range tx.Check() {
			errs = append(errs, err)
		}
		var st app.Desired
		if err := errors.Join(each(tx, bucketApps, &st.Apps), each(tx, bucketPlacements, &st.Placements), each(tx, bucketRevisions, &st.Revisions)); err != nil {
			return err
		}
		for _, a := range st.Apps {
			if tx.Bucket(bucketApps).Get([]byte(a.Name)) == nil {
				errs = append(errs, fmt.Errorf("app %q is stored under another name", a.Name))
			}
			if tx.Bucket(bucketRevisions).Get([]byte(revisionKey(a.Name, a.Revision))) == nil {
				errs = append(errs, fmt.Errorf("revision %d of app %q is missing", a.Revision, a.Name))
			}
		}
		for _, r := range st.Revisions {
			if tx.Bucket(bucketApps).Get([]byte(r.App.Name)) == nil {
				errs = append(errs, fmt.Errorf("there is revision %d of app %q, and no such app", r.App.Revision, r.App.Name))
			}
		}
		for _, p := range st.Placements {
			if tx.Bucket(bucketPlacements).Get([]byte(p.ID)) == nil {
				errs = append(errs, fmt.Errorf("placement %q is stored under another ID", p.ID))
			}
			if tx.Bucket(bucketApps).Get([]byte(p.App)) != nil && tx.Bucket(bucketRevisions).Get([]byte(revisionKey(p.App, p.Revision))) == nil {
				errs = append(errs, fmt.Errorf("%s/%d is placed with revision %d, which is missing", p.App, p.Index, p.Revision))
			}
		}
		return nil
	})
	return errors.Join(append(errs, err)...)
}
