package node

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"lattice/api"
	"lattice/images"
	"lattice/internal/config"
	"lattice/store"
)

// What a backup is made of: a gzipped tar that begins with its label, and has
// the brain's folder after it.
const (
	backupFormat = 1
	backupLabel  = "lattice-backup.json"
	storeName    = "brain.db"
)

// A Label says what a backup is of.
type Label struct {
	Format  int       `json:"format"`
	At      time.Time `json:"at"`
	Version string    `json:"version"` // of who made it
	Host    string    `json:"host"`
	Domain  string    `json:"domain"`
}

// Backup writes all that makes the brain of this machine to w: its store as it
// is at this moment, whether or not the brain runs, CA, secrets, users, what it
// knows of other registries, and journal; with pushed also the images that exist
// nowhere else. It is as secret as all of them.
func Backup(ctx context.Context, cfg config.BrainConfig, version string, pushed bool, w io.Writer) (Label, error) {
	dir := filepath.Join(cfg.DataDir, "brain")
	host, err := os.Hostname()
	if err != nil {
		return Label{}, err
	}
	label := Label{Format: backupFormat, At: time.Now().UTC().Truncate(time.Second), Version: version, Host: host, Domain: cfg.Domain}
	text, err := json.Marshal(label)
	if err != nil {
		return Label{}, err
	}
	snapshot, err := snapshot(ctx, cfg)
	if err != nil {
		return Label{}, err
	}
	z, err := gzip.NewWriterLevel(w, gzip.BestSpeed) // layers are compressed already
	if err != nil {
		return Label{}, err
	}
	t := tar.NewWriter(z)
	err = pack(t, backupLabel, text)
	if err == nil {
		err = pack(t, storeName, snapshot)
	}
	if err == nil {
		err = packFolder(t, dir)
	}
	if err == nil && pushed {
		err = packImages(ctx, t, dir)
	}
	return label, errors.Join(err, t.Close(), z.Close())
}

// snapshot asks the brain for its store, or reads the file where none runs.
func snapshot(ctx context.Context, cfg config.BrainConfig) ([]byte, error) {
	var b bytes.Buffer
	if holder(cfg.Common) != 0 {
		offer, err := Offer(cfg)
		if err != nil {
			return nil, err
		}
		client, err := api.NewClient(api.ClientConfig{URL: offer.API, Token: offer.Token, CA: offer.CA})
		if err != nil {
			return nil, err
		}
		defer client.Close()
		if err := client.Snapshot(ctx, &b); err != nil {
			return nil, fmt.Errorf("ask the brain for its store: %w", err)
		}
		return b.Bytes(), nil
	}
	s, err := store.Open(filepath.Join(cfg.DataDir, "brain", storeName))
	if err != nil {
		return nil, err
	}
	err = errors.Join(s.Snapshot(&b), s.Close())
	return b.Bytes(), err
}

// imageFolder has the images, in the brain's folder.
const imageFolder = "images"

// packFolder adds the files of the brain's folder but for the store and images.
// Those that are just being made, or deleted, are left out.
func packFolder(t *tar.Writer, dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		name, relErr := filepath.Rel(dir, path)
		if d != nil && d.IsDir() && name == imageFolder {
			return fs.SkipDir
		}
		if err = errors.Join(err, relErr); err != nil || !d.Type().IsRegular() || name == storeName || strings.HasPrefix(d.Name(), ".") {
			return err
		}
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		return pack(t, filepath.ToSlash(name), data)
	})
}

// packImages adds the images that were pushed or built.
func packImages(ctx context.Context, t *tar.Writer, dir string) error {
	files, err := images.Own(filepath.Join(dir, imageFolder))
	for _, name := range files {
		if err = errors.Join(err, ctx.Err()); err != nil {
			break
		}
		err = packLarge(t, dir, filepath.Join(imageFolder, name))
	}
	return err
}

// packLarge adds a file that doesn't change any more, unless it is deleted.
func packLarge(t *tar.Writer, dir, name string) error {
	f, err := os.Open(filepath.Join(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := t.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: filepath.ToSlash(name), Mode: 0o600, Size: info.Size()}); err != nil {
		return err
	}
	_, err = io.CopyN(t, f, info.Size())
	return err
}

func pack(t *tar.Writer, name string, data []byte) error {
	if err := t.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o600, Size: int64(len(data))}); err != nil {
		return err
	}
	_, err := t.Write(data)
	return err
}
