package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"github.com/spf13/cobra"

	"lattice/api"
	"lattice/app"
)

func newSync(st *streams) *cobra.Command {
	var to string
	cmd := &cobra.Command{
		Use:     "sync",
		GroupID: groupTarget,
		Short:   "Replace this program by the one of the brain",
		Long: `Replace this program by the one of the brain, so that both are of the same
version. What arrives is held against the brain's checksum before it takes the
place of this program, which is in use until then.

A brain has the program for its own system, and those that somebody put into the
folder clients of its data folder, as lattice-darwin-arm64 or
lattice-windows-amd64.exe.`,
		Example: st.name + " sync\n" + st.name + " sync --to ./ltc",
		Args:    args(0, 0, ""),
	}
	cmd.Flags().StringVar(&to, "to", "", "write it to `FILE` and leave this program as it is")
	cmd.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		if to == "" {
			if to, err = ownProgram(); err != nil {
				return fail(exitFile, fmt.Errorf("find this program: %w", err))
			}
		}
		c, err := client()
		if err != nil {
			return err
		}
		d := &download{to: to}
		defer d.drop()
		if err := d.run(cmd.Context(), c); err != nil {
			return syncFailure(st, err)
		}
		if d.file == nil {
			st.did(to, "%s is the program of the brain already.", to)
			return nil
		}
		st.did(to, "%s is the program of the brain now, of %s.", to, sizeText(d.size))
		return nil
	}
	return cmd
}

// ownProgram returns the path of this program, not of a link to it.
func ownProgram() (string, error) {
	path, err := os.Executable()
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(path)
}

// syncFailure says what to do about err.
func syncFailure(st *streams, err error) error {
	switch {
	case errors.Is(err, os.ErrPermission):
		return &failure{code: exitFile, err: err, hint: "do it as a user who may write there, or with --to FILE"}
	case errors.Is(err, app.ErrNotFound):
		return &failure{code: exitCommand, err: err, hint: "build lattice for " + runtime.GOOS + "/" + runtime.GOARCH + ", or ask who runs the brain"}
	}
	return err
}

// A download puts the brain's program in the place of a file.
type download struct {
	to   string
	size int64
	file *os.File // beside to; nil: to is the same already
	sum  string   // that it must have
	hash hash.Hash
}

func (d *download) run(ctx context.Context, c *api.Client) error {
	if err := c.Program(ctx, runtime.GOOS, runtime.GOARCH, d.open); err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	if d.file == nil {
		return nil
	}
	if got := hex.EncodeToString(d.hash.Sum(nil)); got != d.sum {
		return fail(exitCommand, fmt.Errorf("sync: what arrived has the checksum %s and should have %s: nothing was replaced", got, d.sum))
	}
	if err := errors.Join(d.file.Chmod(d.mode()), d.file.Sync(), d.file.Close(), replaceProgram(d.file.Name(), d.to)); err != nil {
		return fail(exitFile, fmt.Errorf("sync: %w", err))
	}
	return nil
}

// mode is that of the file that is replaced, but always one that can be run.
func (d *download) mode() os.FileMode {
	if info, err := os.Stat(d.to); err == nil {
		return info.Mode().Perm() | 0o100
	}
	return 0o755
}

// open begins a file beside the one that is to be replaced, unless that is the
// same already.
func (d *download) open(size int64, sum string) (io.Writer, error) {
	d.size, d.sum, d.hash = size, sum, sha256.New()
	if have, err := fileChecksum(d.to); err == nil && have == sum {
		return nil, nil
	}
	f, err := os.CreateTemp(filepath.Dir(d.to), ".lattice-sync-*")
	if err != nil {
		return nil, fail(exitFile, err)
	}
	d.file = f
	return io.MultiWriter(f, d.hash), nil
}

// drop deletes what was not put in its place.
func (d *download) drop() {
	if d.file != nil {
		d.file.Close()
		os.Remove(d.file.Name()) // gone already when all went well
	}
}

func fileChecksum(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// replaceProgram moves a file to the place of a program that may be running.
func replaceProgram(from, to string) error {
	if runtime.GOOS == "windows" { // where what runs can be moved but not replaced
		old := to + ".old"
		_ = os.Remove(old) // of an earlier sync
		if err := os.Rename(to, old); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return os.Rename(from, to)
}
