package cells

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"lattice/app"
)

// A record is what the agent keeps on disk of an instance, so that it can go
// on after a restart and without the brain.
type record struct {
	Store      string         `json:"store"` // ID of the store that assigned it
	Assignment app.Assignment `json:"assignment"`
	GUID       string         `json:"guid,omitempty"` // of the container; empty: none
	Lease      Lease          `json:"lease,omitzero"`
	StopSignal string         `json:"stop_signal,omitempty"`
	HealthyAt  time.Time      `json:"healthy_at,omitzero"` // since when this container has been healthy
	Unready    bool           `json:"unready,omitempty"`   // it is healthy, but was not ready
	tally                     // of bad ends
	Run        app.TaskRun    `json:"run,omitzero"` // of the attempt of a task; StartedAt is there before it is started
	Reason     string         `json:"reason,omitempty"`
	Cause      app.Cause      `json:"cause,omitempty"`
	RetryAt    time.Time      `json:"retry_at,omitzero"`
}

// records keeps one file for each record, named by the placement.
type records struct{ dir string }

func (r records) path(id string) string { return filepath.Join(r.dir, id+".json") }

// save writes rec. A crash of the process leaves the old file or the new one;
// a crash of the machine may leave neither, and then there is no container
// to go on with either. That of a task is on the disk when save returns: what
// was started must be known to have been after any crash.
func (r records) save(rec record) error {
	data, err := json.Marshal(rec)
	if err != nil {
		return err
	}
	temp := r.path(rec.Assignment.ID) + ".new"
	write := os.WriteFile
	if rec.Assignment.Task != nil {
		write = writeThrough
	}
	if err = write(temp, data, 0o600); err == nil {
		err = os.Rename(temp, r.path(rec.Assignment.ID))
	}
	if err == nil && rec.Assignment.Task != nil {
		err = syncDir(r.dir)
	}
	if err != nil {
		_ = os.Remove(temp) // half written, and in the way of others when the disk is full
		return fmt.Errorf("save instance: %w", err)
	}
	return nil
}

// writeThrough is os.WriteFile, and returns when the data are on the disk.
func writeThrough(path string, data []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// ForgetApps removes the records below dir of all instances but the attempts of
// tasks, which must not be started again by a process that knows nothing of
// them.
func ForgetApps(dir string) error {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	r := records{dir}
	recs, err := r.load() // what can't be read may be a task's
	errs := []error{err}
	for _, rec := range recs {
		if rec.Assignment.Task == nil {
			errs = append(errs, r.remove(rec.Assignment.ID))
		}
	}
	return errors.Join(errs...)
}

func (r records) remove(id string) error {
	if err := os.Remove(r.path(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forget instance: %w", err)
	}
	return nil
}

// load returns all records. A file that can't be read is reported beside the
// others and left where it is.
func (r records) load() ([]record, error) {
	if err := os.MkdirAll(r.dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the agent's folder: %w", err)
	}
	files, err := os.ReadDir(r.dir)
	if err != nil {
		return nil, fmt.Errorf("read instances: %w", err)
	}
	var recs []record
	var errs []error
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".json") {
			continue // half written by a process that was killed
		}
		var rec record
		data, err := os.ReadFile(filepath.Join(r.dir, f.Name()))
		if err == nil {
			err = json.Unmarshal(data, &rec)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("read instance %s: %w", f.Name(), err))
			continue
		}
		recs = append(recs, rec)
	}
	return recs, errors.Join(errs...)
}
