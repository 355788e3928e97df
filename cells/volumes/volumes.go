// Package volumes keeps what outlives containers: a folder for each named volume
// on the disk of the cell, and mounts of what is on NFS servers. It decides
// nothing about who may have them. A Volumes is safe for concurrent use.
package volumes

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"lattice/app"
	"lattice/internal/du"
)

// trash is in front of the name of a folder that is being deleted.
const trash = ".trash-"

// Volumes are those of one cell.
type Volumes struct {
	dir    string // of the named ones
	mounts string // where NFS is mounted

	mu      sync.Mutex // guards what follows
	holders map[mounted]map[string]bool
	busy    map[mounted]chan struct{} // capacity 1; full while somebody mounts or unmounts
}

// Open returns the volumes below dir, which must survive a reboot. What is
// mounted is below state, which need not.
func Open(dir, state string) (*Volumes, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder for volumes: %w", err)
	}
	v := &Volumes{dir: dir, mounts: MountDir(state), holders: map[mounted]map[string]bool{}, busy: map[mounted]chan struct{}{}}
	for _, pattern := range []string{trash + "*", ".fill-*"} { // of a process that was killed
		left, _ := filepath.Glob(filepath.Join(dir, pattern)) // the pattern is right
		for _, name := range left {
			if err := os.RemoveAll(name); err != nil {
				return nil, fmt.Errorf("delete what is left of a volume: %w", err)
			}
		}
	}
	return v, nil
}

// Open returns the folder of a named volume and makes it where it isn't there,
// unless it must be.
func (v *Volumes) Open(id string, k app.VolumeKey, must bool) (string, error) {
	if !k.Valid() || !app.ValidVolumeID(id) {
		return "", app.Invalid("there can be no volume %s with the ID %q", k, id)
	}
	dir := filepath.Join(v.dir, app.VolumeDir(id, k))
	switch _, err := os.Lstat(dir); {
	case err == nil:
		return dir, nil
	case !errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("open volume %s: %w", k, err)
	case must:
		return "", fmt.Errorf("the folder of volume %s is %w", k, app.ErrNotFound)
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", fmt.Errorf("make volume %s: %w", k, err)
	}
	return dir, nil
}

// List returns the named volumes that there are, by app, name and index. What
// else is in their folder is none.
func (v *Volumes) List() ([]app.ReportedVolume, error) {
	entries, err := os.ReadDir(v.dir)
	if err != nil {
		return nil, fmt.Errorf("list volumes: %w", err)
	}
	all := []app.ReportedVolume{}
	for _, e := range entries {
		if id, k, ok := app.ParseVolumeDir(e.Name()); ok && e.IsDir() {
			all = append(all, app.ReportedVolume{ID: id, VolumeKey: k})
		}
	}
	slices.SortFunc(all, func(a, b app.ReportedVolume) int {
		return cmp.Or(a.Compare(b.VolumeKey), strings.Compare(a.ID, b.ID))
	})
	return all, nil
}

// Size returns how many bytes a named volume takes. It looks at each file.
func (v *Volumes) Size(ctx context.Context, r app.ReportedVolume) (int64, error) {
	return du.Bytes(ctx, filepath.Join(v.dir, app.VolumeDir(r.ID, r.VolumeKey)))
}

// Remove deletes a named volume with all that is in it.
func (v *Volumes) Remove(id string) error {
	all, err := v.List()
	if err != nil {
		return err
	}
	gone := filepath.Join(v.dir, trash+id)
	for _, r := range all {
		if r.ID == id { // by one rename, so that a crash leaves no half of it
			if err := os.Rename(filepath.Join(v.dir, app.VolumeDir(id, r.VolumeKey)), gone); err != nil {
				return fmt.Errorf("delete volume %s: %w", r.VolumeKey, err)
			}
		}
	}
	if err := os.RemoveAll(gone); err != nil {
		return fmt.Errorf("delete volume %s: %w", id, err)
	}
	return nil
}
