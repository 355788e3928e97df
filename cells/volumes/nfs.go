package volumes

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"lattice/app"
)

const (
	// mountTime bounds one try to mount.
	mountTime = 40 * time.Second
	// Operations fail when the server hasn't answered for about half a minute, in
	// place of hanging for ever, and the cell with them.
	nfsOptions = "soft,timeo=100,retrans=2,retry=0,nosuid,nodev"
)

// mounted is what is mounted once for all who want it.
type mounted struct {
	source   string
	readOnly bool
}

// MountDir is where volumes of NFS servers are mounted, below a cell's state
// folder.
func MountDir(state string) string { return filepath.Join(state, "nfs") }

func (v *Volumes) place(m mounted) string {
	hash := sha256.Sum256(fmt.Appendf(nil, "%s %v", m.source, m.readOnly))
	return filepath.Join(v.mounts, fmt.Sprintf("%x", hash[:8]))
}

// Hold notes that holder has what a former process mounted.
func (v *Volumes) Hold(vol app.Volume, holder string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.hold(mounted{vol.Source, vol.ReadOnly}, holder)
}

func (v *Volumes) hold(m mounted, holder string) {
	if v.holders[m] == nil {
		v.holders[m] = map[string]bool{}
	}
	v.holders[m][holder] = true
}

// lock keeps others from mounting and unmounting m.
func (v *Volumes) lock(ctx context.Context, m mounted) (unlock func(), err error) {
	v.mu.Lock()
	l := v.busy[m]
	if l == nil {
		l = make(chan struct{}, 1)
		v.busy[m] = l
	}
	v.mu.Unlock()
	select {
	case l <- struct{}{}:
		return func() { <-l }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Mount returns the folder where vol is mounted, until all who have asked have let
// go of it.
func (v *Volumes) Mount(ctx context.Context, vol app.Volume, holder string) (string, error) {
	host, port, dir, err := vol.NFS()
	if err != nil {
		return "", err
	}
	m := mounted{vol.Source, vol.ReadOnly}
	unlock, err := v.lock(ctx, m)
	if err != nil {
		return "", err
	}
	defer unlock()
	at := v.place(m)
	if !isMount(at) {
		if err := os.MkdirAll(at, 0o700); err != nil {
			return "", fmt.Errorf("mount %s: %w", vol.Source, err)
		}
		options := nfsOptions
		if port != "" {
			options += ",port=" + port
		}
		if vol.ReadOnly {
			options += ",ro"
		}
		if strings.Contains(host, ":") {
			host = "[" + host + "]"
		}
		if err := mountNFS(ctx, host, dir, at, options); err != nil {
			return "", fmt.Errorf("mount %s: %w", vol.Source, err)
		}
	}
	v.Hold(vol, holder)
	return at, nil
}

// mountNFS has the host's mount.nfs do it, which finds out what the server can.
func mountNFS(ctx context.Context, host, dir, at, options string) error {
	program, err := findProgram("mount.nfs")
	if err != nil {
		return errors.New("the cell has no mount.nfs: install nfs-common (Debian, Ubuntu) or nfs-utils (others) there")
	}
	ctx, cancel := context.WithTimeout(ctx, mountTime)
	defer cancel()
	if _, err := net.DefaultResolver.LookupHost(ctx, strings.Trim(host, "[]")); err != nil { // mount.nfs says of that what nobody understands
		return fmt.Errorf("the cell can't find the address of the NFS server %s: %w", host, err)
	}
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, program, host+":"+dir, at, "-o", options)
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &out, &out, time.Second
	err = cmd.Run()
	if err == nil {
		return nil
	}
	return explain(host, dir, strings.TrimSpace(out.String()), ctx.Err() != nil, err)
}

// explain says what mount.nfs told in words that help.
func explain(host, dir, told string, late bool, err error) error {
	said := strings.ToLower(told)
	has := func(parts ...string) bool {
		for _, p := range parts {
			if strings.Contains(said, p) {
				return true
			}
		}
		return false
	}
	switch {
	case has("unknown filesystem type", "no such device", "protocol not supported") && !kernelHasNFS():
		return errors.New("the kernel of the cell has no NFS client: it needs the module nfs")
	case late, has("timed out", "connection refused", "no route to host", "network is unreachable", "unable to receive"):
		return fmt.Errorf("the NFS server %s does not answer: is it there, and does its firewall let the cell in on TCP port 2049? (%s)", host, firstLine(told, err))
	case has("access denied", "permission denied", "not permitted"):
		return fmt.Errorf("the NFS server %s does not let the cell have %s: is it there, and exported to the cell's address? (%s)", host, dir, firstLine(told, err))
	case has("no such file or directory", "does not exist"):
		return fmt.Errorf("the NFS server %s has no folder %s (%s)", host, dir, firstLine(told, err))
	}
	return fmt.Errorf("mount.nfs says: %s", firstLine(told, err))
}

func firstLine(told string, err error) string {
	line, _, _ := strings.Cut(strings.TrimPrefix(told, "mount.nfs: "), "\n")
	if line == "" {
		return err.Error()
	}
	const most = 300
	return line[:min(len(line), most)]
}

func kernelHasNFS() bool {
	b, err := os.ReadFile("/proc/filesystems")
	return err == nil && bytes.Contains(b, []byte("\tnfs"))
}

func findProgram(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	for _, dir := range []string{"/sbin", "/usr/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path, nil
		}
	}
	return "", exec.ErrNotFound
}

// Release lets go of all that holder has and unmounts what nobody has any more.
func (v *Volumes) Release(holder string) error {
	v.mu.Lock()
	var idle []mounted
	for m, holders := range v.holders {
		if holders[holder] {
			if delete(holders, holder); len(holders) == 0 {
				idle = append(idle, m)
			}
		}
	}
	v.mu.Unlock()
	var errs []error
	for _, m := range idle {
		errs = append(errs, v.unmount(m))
	}
	return errors.Join(errs...)
}

func (v *Volumes) unmount(m mounted) error {
	unlock, err := v.lock(context.Background(), m)
	if err != nil {
		return err
	}
	defer unlock()
	v.mu.Lock()
	wanted := len(v.holders[m]) > 0 // by somebody who came meanwhile
	if !wanted {
		delete(v.holders, m)
	}
	v.mu.Unlock()
	if wanted {
		return nil
	}
	return detach(v.place(m))
}

// detach unmounts at once, also what a server that is gone keeps busy.
func detach(at string) error {
	err := unix.Unmount(at, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("unmount %s: %w", at, err)
	}
	if err := os.Remove(at); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("unmount %s: %w", at, err)
	}
	return nil
}

// UnmountAll unmounts all that is mounted below a cell's state folder. It must
// have succeeded before anybody deletes that folder.
func UnmountAll(state string) error {
	places, err := filepath.Glob(filepath.Join(MountDir(state), "*"))
	if err != nil {
		return err
	}
	errs := make([]error, 0, len(places))
	for _, at := range places {
		errs = append(errs, detach(at))
	}
	return errors.Join(errs...)
}

// Sweep unmounts what no instance has: one has ended while no process of ours was
// there.
func (v *Volumes) Sweep() error {
	places, err := filepath.Glob(filepath.Join(v.mounts, "*"))
	if err != nil {
		return err
	}
	v.mu.Lock()
	held := map[string]bool{}
	for m := range v.holders {
		held[v.place(m)] = true
	}
	v.mu.Unlock()
	var errs []error
	for _, at := range places {
		if !held[at] {
			errs = append(errs, detach(at))
		}
	}
	return errors.Join(errs...)
}

// isMount reports whether something is mounted at a folder. It asks no server.
func isMount(at string) bool {
	b, err := os.ReadFile("/proc/self/mountinfo")
	return err == nil && bytes.Contains(b, []byte(" "+at+" "))
}
