package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"lattice/app"
)

// A disk is a small file system of its own.
type disk struct {
	t   *testing.T
	dir string
}

// newDisk makes one of so many MiB. Make it before the lab, which must be gone
// when the disk goes.
func newDisk(t *testing.T, mb int) *disk {
	t.Helper()
	temp, err := os.MkdirTemp("", "lattice-disk-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(temp); err != nil {
			t.Error(err)
		}
	})
	d := &disk{t, filepath.Join(temp, "mnt")}
	file := filepath.Join(temp, "image")
	if err := errors.Join(os.WriteFile(file, nil, 0o600), os.Truncate(file, int64(mb)<<20), os.Mkdir(d.dir, 0o700)); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"mkfs.ext4", "-q", "-m", "0", file}, {"mount", "-o", "loop", file, d.dir}} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", d.dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v\n%s", err, out)
		}
	})
	return d
}

// hold makes d the disk of the host's data folder.
func (d *disk) hold(h *host) {
	d.t.Helper()
	if err := errors.Join(os.Remove(h.data()), os.Symlink(d.dir, h.data())); err != nil {
		d.t.Fatal(err)
	}
}

func (d *disk) ballast() string { return filepath.Join(d.dir, "ballast") }

// fill leaves no room, not even for a short file.
func (d *disk) fill() {
	d.t.Helper()
	f, err := os.Create(d.ballast())
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	for _, size := range []int{1 << 20, 4 << 10, 1} {
		for b := make([]byte, size); err == nil; {
			_, err = f.Write(b)
		}
		if !errors.Is(err, syscall.ENOSPC) {
			d.t.Fatalf("fill the disk: %v", err)
		}
		err = nil
	}
	if err := f.Sync(); err != nil {
		d.t.Fatal(err)
	}
}

// free makes room again.
func (d *disk) free() {
	d.t.Helper()
	if err := os.Remove(d.ballast()); err != nil {
		d.t.Fatal(err)
	}
}

// cpu returns how much CPU time a process has used.
func (p *proc) cpu(t *testing.T) time.Duration {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	ticks := 0
	for _, f := range fields[11:13] { // user and system
		n, err := strconv.Atoi(f)
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// TestFullDiskAtACell fills the disk of the only cell: what runs must go on, what
// can't be started must say why, and all must be well when there is room again.
func TestFullDiskAtACell(t *testing.T) {
	d := newDisk(t, 256)
	l := newLab(t, "brain", "c1")
	brain, c1 := l.host("brain"), l.host("c1")
	d.hold(c1)
	brain.waitReady(brain.start("brain"))
	cell := c1.start("cell", "--join", brain.addr, "--token", strings.TrimSpace(brain.ltc("token")), "--disk-mb", "10000")
	c1.waitReady(cell)
	brain.ltc("create", "hello", "lattice/hello", "-i", "2")
	before := guids(brain.status("hello"))

	d.fill()
	brain.ltc("scale", "hello", "3", "--no-wait")
	full := func(index int) func() string {
		return func() string {
			st := brain.status("hello")
			for _, in := range st.Instances {
				if in.Index == index && in.State == app.Crashed && strings.Contains(in.Reason, "the disk of cell c1 is full: free some space there") {
					return ""
				}
			}
			return fmt.Sprintf("%+v", st.Instances)
		}
	}
	eventually(t, 20*time.Second, "the third says that the disk is full", full(2))
	second := brain.status("hello").Instances[1]
	brain.at(second, "/exit")
	// What its container had may be just enough for the next one.
	eventually(t, 20*time.Second, "the second is restarted in the room that it left, or can't be", func() string {
		if in := brain.status("hello").Instances[1]; in.State == app.Running && in.Crashes > 0 {
			return ""
		}
		return full(1)()
	})
	if got := brain.indices("hello", 6); !slices.Contains(got, "0") {
		t.Errorf("on a full disk, answers came from %v", got)
	}
	used := cell.cpu(t)
	<-time.After(3 * time.Second) // of observation
	if used = cell.cpu(t) - used; used > 1500*time.Millisecond {
		t.Errorf("on a full disk the cell used %v of CPU in 3 s", used)
	}
	t.Logf("on a full disk the cell used %v of CPU in 3 s", used)
	if crashes := brain.status("hello").Instances[2].Crashes; crashes > 8 {
		t.Errorf("the third was tried %d times", crashes)
	}

	// A restart finds what runs, though it can't write.
	cell.kill()
	cell = c1.start("cell")
	c1.waitReady(cell)
	eventually(t, 20*time.Second, "the first is still known", func() string {
		st := brain.status("hello")
		if in := st.Instances[0]; in.GUID == before[0] && in.State == app.Running {
			return ""
		}
		return fmt.Sprintf("%+v", st.Instances)
	})

	d.free()
	eventually(t, time.Minute, "all run", func() string {
		if st := brain.status("hello"); count(st, app.Running) != 3 {
			return fmt.Sprintf("%+v", st.Instances)
		}
		return ""
	})
	if after := guids(brain.status("hello")); after[0] != before[0] {
		t.Errorf("the first was restarted: %s, then %s", before[0], after[0])
	}
	brain.ltc("remove", "hello")
}

// TestFullDiskAtTheBrain fills the brain's disk: what it can't write it must
// refuse, and change nothing.
func TestFullDiskAtTheBrain(t *testing.T) {
	d := newDisk(t, 64)
	l := newLab(t, "brain", "c1")
	brain, c1 := l.host("brain"), l.host("c1")
	d.hold(brain)
	p := brain.start("brain")
	brain.waitReady(p)
	c1.waitReady(c1.start("cell", "--join", brain.addr, "--token", strings.TrimSpace(brain.ltc("token"))))
	brain.ltc("create", "hello", "lattice/hello", "-i", "2")
	before := guids(brain.status("hello"))

	d.fill()
	refused := 0
	big := `{"name":"%s%d","image":"lattice/hello","instances":0,"env":{"A":"` + strings.Repeat("x", 100_000) + `"}}`
	var kept []string
	for i := range 100 { // the file may have room for some
		code, body := brain.api("POST", "/api/v1/apps", fmt.Sprintf(big, "new", i), true)
		switch {
		case code == 201 && refused == 0:
			kept = append(kept, fmt.Sprint("new", i))
		case code == 507 && strings.Contains(body, "disk of the brain is full"):
			refused++
		default:
			t.Fatalf("create: %d %s", code, body)
		}
	}
	if refused == 0 {
		t.Fatal("nothing was refused")
	}
	t.Logf("on a full disk %d of 100 apps of 100 KB were refused", refused)
	if code, _, errs := brain.lattice("create", "other", "lattice/hello", "-e", "A="+strings.Repeat("x", 100_000)); code == 0 || !strings.Contains(errs, "disk of the brain is full") {
		t.Errorf("ltc create: exit code %d\n%s", code, errs)
	}
	if code, _, errs := brain.lattice("push", "../node/bundle/hello.tar", "full:1"); code == 0 || !strings.Contains(errs, "no space is left on the brain's disk") {
		t.Errorf("ltc push: exit code %d\n%s", code, errs)
	}
	out := brain.ltc("list")
	if strings.Contains(out, "other") || strings.Contains(out, "new99") {
		t.Errorf("what was refused is there:\n%s", out)
	}
	if got := brain.indices("hello", 6); len(got) != 2 {
		t.Errorf("on a full disk, answers came from %v", got)
	}

	// What was acknowledged is there after a crash, and nothing else.
	p.kill()
	d.free()
	p = brain.start("brain")
	brain.waitReady(p)
	names := map[string]bool{}
	var all []app.Status
	if err := json.Unmarshal([]byte(brain.ltc("list", "-o", "json")), &all); err != nil {
		t.Fatal(err)
	}
	for _, st := range all {
		names[st.App.Name] = true
	}
	want := map[string]bool{"hello": true}
	for _, name := range kept {
		want[name] = true
	}
	if !maps.Equal(names, want) {
		t.Errorf("after a crash on a full disk there are %v, want %v", names, want)
	}
	brain.ltc("create", "other", "lattice/hello")
	if after := guids(brain.status("hello")); !maps.Equal(after, before) {
		t.Errorf("containers before: %v, after: %v", before, after)
	}
	brain.ltc(append([]string{"remove", "hello", "other"}, kept...)...)
}
