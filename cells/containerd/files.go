package containerd

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/containerd/v2/core/mount"
	continuity "github.com/containerd/continuity/fs"

	"lattice/cells"
)

// A volume is a folder of the host that a container sees at path.
type volume struct {
	path string
	dir  string
}

// etcFiles writes what the container finds as /etc/hosts, /etc/hostname and
// /etc/resolv.conf.
func (r *Runtime) etcFiles(s cells.Spec, uidBase uint32) error {
	dir := r.dir(s.GUID)
	if err := os.Mkdir(dir, 0o711); err != nil {
		return fmt.Errorf("make the container's folder: %w", err)
	}
	resolv, err := hostResolvConf()
	if err != nil {
		return err
	}
	name := hostname(s)
	ip := s.Lease.IP
	if !ip.IsValid() {
		ip = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	for file, text := range map[string]string{
		"hostname":    name + "\n",
		"hosts":       "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n" + ip.String() + " " + name + "\n",
		"resolv.conf": resolv,
	} {
		path := filepath.Join(dir, file)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return fmt.Errorf("write the container's files: %w", err)
		}
		if err := os.Chown(path, int(uidBase), int(uidBase)); err != nil {
			return fmt.Errorf("hand over the container's files: %w", err)
		}
	}
	return nil
}

// hostResolvConf returns the host's resolver configuration as far as it is of
// use in a network namespace of its own.
func hostResolvConf() (string, error) {
	// The second is where systemd-resolved keeps the servers it forwards to.
	for _, file := range []string{"/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"} {
		b, err := os.ReadFile(file)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("read the host's resolvers: %w", err)
		}
		if text, usable := withoutLoopback(b); usable {
			return text, nil
		}
	}
	return "nameserver 8.8.8.8\nnameserver 8.8.4.4\n", nil
}

// withoutLoopback returns conf without the nameservers that can be reached on
// the host only, and whether any is left.
func withoutLoopback(conf []byte) (text string, usable bool) {
	var out strings.Builder
	for s := bufio.NewScanner(bytes.NewReader(conf)); s.Scan(); {
		f := strings.Fields(s.Text())
		if len(f) >= 2 && f[0] == "nameserver" {
			ip, err := netip.ParseAddr(f[1])
			if err != nil || ip.IsLoopback() {
				continue
			}
			usable = true
		}
		out.WriteString(s.Text() + "\n")
	}
	return out.String(), usable
}

// makeVolumes makes a folder for each of paths, owned by the container's root
// or, where the image has something at that path, a copy of that.
func (r *Runtime) makeVolumes(ctx context.Context, guid string, img *image, paths []string, uidBase uint32) ([]volume, error) {
	if len(paths) == 0 {
		return nil, nil
	}
	var vols []volume
	err := r.withRootfs(ctx, guid, img, func(root string) error {
		for i, p := range paths {
			v := volume{path: filepath.Clean("/" + p), dir: filepath.Join(r.dir(guid), fmt.Sprintf("volume-%d", i))}
			if v.path == "/" {
				return errors.New("volume / is not possible")
			}
			src, err := continuity.RootPath(root, v.path)
			if err != nil {
				return fmt.Errorf("volume %s: %w", v.path, err)
			}
			if err := fillVolume(v.dir, src, uidBase); err != nil {
				return fmt.Errorf("volume %s: %w", v.path, err)
			}
			vols = append(vols, v)
		}
		return nil
	})
	return vols, err
}

func fillVolume(dir, src string, uidBase uint32) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	if st, err := os.Stat(src); err == nil && st.IsDir() {
		if err := continuity.CopyDir(dir, src); err != nil {
			return err
		}
	}
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return shiftOwner(path, uidBase)
	})
}

// withRootfs calls f with a folder where the image can be read.
func (r *Runtime) withRootfs(ctx context.Context, guid string, img *image, f func(root string) error) error {
	key := "view-" + guid
	sn := r.client.SnapshotService(r.snapshotter)
	ctx, done, err := r.client.WithLease(ctx) // keeps the view until we are done with it
	if err != nil {
		return fmt.Errorf("look into image %s: %w", img.Name, err)
	}
	mounts, err := sn.View(ctx, key, img.parent)
	if err == nil {
		err = errors.Join(mount.WithReadonlyTempMount(ctx, mounts, f), sn.Remove(context.WithoutCancel(ctx), key))
	}
	if err = errors.Join(err, done(context.WithoutCancel(ctx))); err != nil {
		return fmt.Errorf("look into image %s: %w", img.Name, err)
	}
	return nil
}
