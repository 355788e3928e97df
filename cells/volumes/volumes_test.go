package volumes

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"lattice/app"
)

func TestNamedVolumes(t *testing.T) {
	dir, state := t.TempDir(), t.TempDir()
	open := func() *Volumes {
		v, err := Open(dir, state)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	v := open()
	one, two := app.VolumeKey{App: "db", Name: "data", Index: 1}, app.VolumeKey{App: "db", Name: "data", Index: 2}
	if _, err := v.Open("aaaaaaaa", one, true); !errors.Is(err, app.ErrNotFound) {
		t.Errorf("one that must be there: %v", err)
	}
	for _, bad := range []app.VolumeKey{{App: "../x", Name: "data"}, {App: "db", Name: ""}, {App: "db", Name: "data", Index: -1}} {
		if _, err := v.Open("aaaaaaaa", bad, false); !errors.Is(err, app.ErrInvalid) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	if _, err := v.Open("../../x", one, false); !errors.Is(err, app.ErrInvalid) {
		t.Errorf("a wrong ID: %v", err)
	}
	folder, err := v.Open("aaaaaaaa", one, false)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := v.Open("aaaaaaaa", one, true); err != nil || again != folder {
		t.Errorf("again: %s %v, want %s", again, err, folder)
	}
	if _, err := v.Open("bbbbbbbb", two, false); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "file"), make([]byte, 100<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, other := range []string{".incoming", "lost+found", trash + "cccccccc", ".fill-x"} {
		if err := os.Mkdir(filepath.Join(dir, other), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	all, err := v.List()
	if err != nil || len(all) != 2 || all[0].ID != "aaaaaaaa" || all[0].VolumeKey != one || all[1].VolumeKey != two {
		t.Errorf("got %+v %v", all, err)
	}
	if n, err := v.Size(t.Context(), all[0]); err != nil || n < 100<<10 || n > 200<<10 {
		t.Errorf("size %d %v", n, err)
	}
	if err := errors.Join(v.Remove("aaaaaaaa"), v.Remove("aaaaaaaa")); err != nil {
		t.Error(err)
	}
	open() // clears what a killed process left, and nothing else
	left, err := filepath.Glob(filepath.Join(dir, ".*"))
	if err != nil || len(left) != 1 || filepath.Base(left[0]) != ".incoming" {
		t.Errorf("left %v %v", left, err)
	}
	if all, err := v.List(); err != nil || len(all) != 1 {
		t.Errorf("got %+v %v", all, err)
	}
}

// What is mounted is for all who want it, and goes with the last of them. A
// tmpfs stands for what mount.nfs makes.
func TestMountsAreSharedAndReleased(t *testing.T) {
	state := t.TempDir()
	v, err := Open(t.TempDir(), state)
	if err != nil {
		t.Fatal(err)
	}
	vol := app.Volume{Source: "nfs://10.0.0.1/export", Path: "/a"}
	at := v.place(mounted{vol.Source, false})
	mount := func() {
		t.Helper()
		if err := errors.Join(os.MkdirAll(at, 0o700), unix.Mount("tmpfs", at, "tmpfs", 0, "")); err != nil {
			t.Fatal(err)
		}
	}
	mount()
	t.Cleanup(func() { _ = unix.Unmount(at, unix.MNT_DETACH) })
	v.Hold(vol, "one")
	if got, err := v.Mount(t.Context(), vol, "two"); err != nil || got != at {
		t.Errorf("the second gets %s %v, want %s", got, err, at)
	}
	if err := v.Release("one"); err != nil || !isMount(at) {
		t.Errorf("released by one of two: %v, mounted: %v", err, isMount(at))
	}
	if err := v.Sweep(); err != nil || !isMount(at) {
		t.Errorf("swept: %v, mounted: %v", err, isMount(at))
	}
	if err := v.Release("two"); err != nil || isMount(at) {
		t.Errorf("released by the last: %v, mounted: %v", err, isMount(at))
	}
	if err := v.Release("two"); err != nil {
		t.Error(err)
	}
	mount()
	if err := v.Sweep(); err != nil || isMount(at) {
		t.Errorf("what nobody has: %v, mounted: %v", err, isMount(at))
	}
	mount()
	if err := os.WriteFile(filepath.Join(at, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := UnmountAll(state); err != nil || isMount(at) {
		t.Errorf("all: %v, mounted: %v", err, isMount(at))
	}
	if _, err := os.Stat(at); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder: %v", err)
	}
}

// TestMountFailuresAreExplained has what mount.nfs of nfs-common 2.6 says.
func TestMountFailuresAreExplained(t *testing.T) {
	for told, want := range map[string]string{
		"mount.nfs: Connection refused for 10.0.0.1:/export on /x":                                       "the NFS server 10.0.0.1 does not answer",
		"mount.nfs: Connection timed out for 10.0.0.1:/export on /x":                                     "the NFS server 10.0.0.1 does not answer",
		"mount.nfs: No route to host for 10.0.0.1:/export on /x":                                         "the NFS server 10.0.0.1 does not answer",
		"mount.nfs: access denied by server while mounting 10.0.0.1:/export":                             "does not let the cell have /export",
		"mount.nfs: mounting 10.0.0.1:/export failed, reason given by server: No such file or directory": "has no folder /export",
		"mount.nfs: something else\nand more":                                                            "mount.nfs says: something else",
		"":                                                                                               "mount.nfs says: exit status 32",
	} {
		got := explain("10.0.0.1", "/export", told, false, errors.New("exit status 32")).Error()
		if !strings.Contains(got, want) || strings.Contains(got, "\n") {
			t.Errorf("%q: got %q, want %q", told, got, want)
		}
	}
}

// TestNoServer asks the real mount.nfs, where there is one, for a server that is
// not there.
func TestNoServer(t *testing.T) {
	v, err := Open(t.TempDir(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Mount(t.Context(), app.Volume{Source: "nfs://no-such-host.invalid/export", Path: "/x"}, "me"); err == nil || !strings.Contains(err.Error(), "can't find the address") && !strings.Contains(err.Error(), "install nfs-common") {
		t.Errorf("a host that isn't there: %v", err)
	}
	_, err = v.Mount(t.Context(), app.Volume{Source: "nfs://127.0.0.1:1/export", Path: "/x"}, "me")
	if err == nil {
		t.Fatal("it is mounted")
	}
	t.Log(err)
	for _, sentence := range []string{"install nfs-common", "does not answer", "no NFS client"} {
		if strings.Contains(err.Error(), sentence) {
			return
		}
	}
	t.Errorf("got %v", err)
}
