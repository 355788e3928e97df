package doctor

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"lattice/app"
)

// overlay mounts one where nobody sees it.
func overlay(dataDir string) app.Finding {
	const mend = "load the module (modprobe overlay), and keep the data folder on ext4, xfs or btrfs"
	if os.Geteuid() != 0 {
		return unknown("overlayfs", "only root can try it")
	}
	base := nearest(dataDir)
	dir, err := os.MkdirTemp(base, ".lattice-doctor-")
	if err != nil {
		return unknown("overlayfs", "no folder can be made in %s to try it: %v", base, err)
	}
	defer os.RemoveAll(dir)
	if err := inOwnMounts(func() error { return mountOverlay(dir) }); err != nil {
		return broken("overlayfs", mend, "containers can't have their files on %s: %v", base, err)
	}
	return ok("overlayfs", "works on %s", base)
}

// nearest returns the first of a folder and those above it that is there.
func nearest(dir string) string {
	for dir != filepath.Dir(dir) {
		if _, err := os.Stat(dir); err == nil {
			return dir
		}
		dir = filepath.Dir(dir)
	}
	return dir
}

func mountOverlay(dir string) error {
	for _, name := range []string{"lower", "upper", "work", "merged"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			return err
		}
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", at("lower"), at("upper"), at("work"))
	if err := unix.Mount("overlay", at("merged"), "overlay", 0, options); err != nil {
		return err
	}
	err := os.WriteFile(filepath.Join(at("merged"), "file"), []byte("x"), 0o600)
	return errors.Join(err, unix.Unmount(at("merged"), unix.MNT_DETACH))
}

// inOwnMounts runs f where what it mounts is seen by nobody and is gone
// afterwards: on a thread of its own, which ends with it.
func inOwnMounts(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked, so the thread is not used again
		err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS)
		if err == nil {
			err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	return <-done
}

// userNamespaces starts ourselves in one.
func userNamespaces(ctx context.Context) app.Finding {
	const mend = "allow them: sysctl user.max_user_namespaces=15000, and on Debian kernel.unprivileged_userns_clone=1"
	self, err := os.Executable()
	if err != nil {
		return unknown("user namespaces", "we don't know our own file to try it with: %v", err)
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, self, "--version")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	if err := cmd.Start(); err != nil {
		return broken("user namespaces", mend, "no process can be started in one: %v", err)
	}
	_ = cmd.Wait() // that it could start is enough
	return ok("user namespaces", "work")
}

const nftGetGeneration = unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETGEN

// nftables asks the kernel for the generation of its tables.
func nftables() app.Finding {
	const mend = "load the module (modprobe nf_tables), or use a kernel with CONFIG_NF_TABLES"
	s, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return broken("nftables", mend, "the kernel has no netfilter: %v", err)
	}
	defer unix.Close(s)
	if err := askGeneration(s); errors.Is(err, unix.EPERM) {
		return unknown("nftables", "only root can ask for it")
	} else if err != nil {
		return broken("nftables", mend, "the kernel does not answer for nftables: %v", err)
	}
	return ok("nftables", "the kernel has them")
}

// askGeneration sends a message of a header (length, type, flags, number, port)
// and of family, version and resource, and waits for what comes back.
func askGeneration(s int) error {
	if err := unix.SetsockoptTimeval(s, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 5}); err != nil {
		return err
	}
	msg := make([]byte, unix.NLMSG_HDRLEN+4)
	binary.NativeEndian.PutUint32(msg, uint32(len(msg)))
	binary.NativeEndian.PutUint16(msg[4:], nftGetGeneration)
	binary.NativeEndian.PutUint16(msg[6:], unix.NLM_F_REQUEST)
	if err := unix.Sendto(s, msg, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	answer := make([]byte, 4096)
	n, _, err := unix.Recvfrom(s, answer, 0)
	if err != nil {
		return err
	}
	if n >= unix.NLMSG_HDRLEN+4 && binary.NativeEndian.Uint16(answer[4:]) == unix.NLMSG_ERROR {
		return syscall.Errno(-int32(binary.NativeEndian.Uint32(answer[unix.NLMSG_HDRLEN:])))
	}
	return nil
}
