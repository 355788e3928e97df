package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"lattice/app"
)

// volumes returns what `ltc volumes -o json` shows.
func (h *host) volumes() (all []app.VolumeStatus) {
	h.t.Helper()
	if err := json.Unmarshal([]byte(h.ltc("volumes", "-o", "json")), &all); err != nil {
		h.t.Fatal(err)
	}
	return all
}

// volume returns the one of that name.
func (h *host) volume(name string) app.VolumeStatus {
	h.t.Helper()
	all := h.volumes()
	i := slices.IndexFunc(all, func(v app.VolumeStatus) bool { return v.VolumeKey.String() == name })
	if i < 0 {
		h.t.Fatalf("there is no volume %s among %+v", name, all)
	}
	return all[i]
}

// TestVolumes runs a Redis whose entrypoint takes possession of its volume and
// drops to another user, and checks that its data are there after all that can
// happen to it.
func TestVolumes(t *testing.T) {
	l := newLab(t, "brain", "c1", "c2")
	h := l.host("brain")
	h.registry()
	h.pushImage("10.99.0.1:5000/redis:7", redisImage(t))
	h.pushImage("10.99.0.1:5000/box:1", boxImage(t))
	boss := h.start("brain")
	h.waitReady(boss)
	token := strings.TrimSpace(h.ltc("token"))
	procs := map[string]*proc{}
	for _, name := range []string{"c1", "c2"} {
		args := []string{"cell", "--join", h.addr, "--token", token}
		if name == "c2" {
			args = append(args, "--allow-privileged")
		}
		procs[name] = l.host(name).start(args...)
		l.host(name).waitReady(procs[name])
	}
	h.ltc("registry", "add", "10.99.0.1:5000", "--plain-http")

	h.ltc("create", "redis", "10.99.0.1:5000/redis:7", "--no-routes", "-T", "6379", "-v", "data:/data")
	if got := h.redis("6379", "set", "colour", "blue"); got != "OK" {
		t.Fatalf("set: %s", got)
	}
	home := h.status("redis").Instances[0].Cell
	v := h.volume("redis/data/0")
	if v.Cell != home || v.State != app.VolumeInUse {
		t.Errorf("got %+v, want the volume on %s in use", v, home)
	}
	dir := filepath.Join(l.host(home).data(), v.Dir)
	eventually(t, time.Minute, "the volume's folder is redis's on the disk, too", func() string {
		st, err := os.Stat(filepath.Join(dir, "appendonlydir"))
		if err != nil {
			return err.Error()
		}
		if s := st.Sys().(*syscall.Stat_t); s.Uid != 999 || s.Gid != 999 {
			return fmt.Sprintf("%d:%d", s.Uid, s.Gid)
		}
		return ""
	})
	kept := func(after string) {
		t.Helper()
		eventually(t, time.Minute, "the data are there after "+after, func() string {
			if got := h.redis("6379", "get", "colour"); got != "blue" {
				return got
			}
			return ""
		})
		if got := h.status("redis").Instances; len(got) != 1 || got[0].Cell != home {
			t.Errorf("after %s: %+v, want one instance on %s", after, got, home)
		}
	}
	before := h.status("redis").Instances[0].GUID
	_ = h.redis("6379", "shutdown", "nosave")
	h.waitFor(time.Minute, "redis", "runs again", func(in app.Instance) bool { return in.State == app.Running && in.GUID != before })
	kept("a crash")
	h.ltc("restart", "redis")
	kept("a restart")
	h.ltc("update", "redis", "-m", "160")
	kept("an update")
	out := h.ltc("exec", "redis", "--", "id", "-u")
	if strings.TrimSpace(out) != "0" {
		t.Errorf("the image's user: %s", out)
	}
	for user, want := range map[string]string{"redis": "999:999", "999": "999:999", "1234:1235": "1234:1235", "root": "0:0"} {
		got := h.ltc("run", "10.99.0.1:5000/redis:7", "--rm", "-u", user, "--", "sh", "-c", "echo $(id -u):$(id -g)")
		if strings.TrimSpace(got) != want {
			t.Errorf("--user %s: got %s, want %s", user, got, want)
		}
	}

	t.Run("the brain and the cell start again", func(t *testing.T) {
		runs := h.status("redis").Instances[0].GUID
		boss.kill()
		procs[home].kill()
		boss = h.start("brain")
		h.waitReady(boss)
		eventually(t, time.Minute, "it waits for its cell", func() string {
			in := h.status("redis").Instances[0]
			if in.State == app.Unclaimed && strings.Contains(in.Reason, "volume redis/data/0 is on cell "+home+", which is gone: it waits until the cell is back; 'ltc volumes remove redis/data/0'") {
				return ""
			}
			return fmt.Sprintf("%+v", in)
		})
		if v := h.volume("redis/data/0"); !v.Away || v.Cell != home {
			t.Errorf("got %+v", v)
		}
		procs[home] = l.host(home).start("cell")
		if home == "c2" {
			procs[home].kill()
			procs[home] = l.host(home).start("cell", "--allow-privileged")
		}
		l.host(home).waitReady(procs[home])
		kept("the cell was gone")
		if got := h.status("redis").Instances[0]; got.GUID != runs {
			t.Errorf("it was started anew: %+v", got)
		}
	})

	t.Run("drain", func(t *testing.T) {
		code, out, errs := h.lattice("cell", "drain", home, "--timeout", "5s")
		if code == 0 || !strings.Contains(out+errs, "its volume redis/data/0 is on cell "+home+", which is draining, and stays there") {
			t.Errorf("exit code %d\n%s%s", code, out, errs)
		}
		h.ltc("cell", "undrain", home)
		kept("a drain")
	})

	t.Run("each index has its own", func(t *testing.T) {
		h.ltc("scale", "redis", "2")
		one, two := h.volume("redis/data/0"), h.volume("redis/data/1")
		if one.Cell == two.Cell || one.ID == two.ID {
			t.Errorf("got %+v and %+v, want one on each cell", one, two)
		}
		h.ltc("scale", "redis", "1")
		if v := h.volume("redis/data/1"); v.State == app.VolumeOrphan {
			t.Errorf("got %+v, want it kept for the next scale", v)
		}
		if code, _, errs := h.lattice("volumes", "remove", "redis/data/0", "--force"); code == 0 || !strings.Contains(errs, "in use by instance 0 of app redis: stop it first") {
			t.Errorf("remove one in use: exit code %d\n%s", code, errs)
		}
		if code, _, errs := h.lattice("volumes", "remove", "redis/data/1"); code == 0 || !strings.Contains(errs, "agree to it with --force") {
			t.Errorf("remove without --force: exit code %d\n%s", code, errs)
		}
		eventually(t, time.Minute, "the other is deleted", func() string {
			if code, _, errs := h.lattice("volumes", "remove", "redis/data/1", "--force"); code != 0 && !strings.Contains(errs, "not found") {
				return errs
			}
			if all := h.volumes(); len(all) != 1 {
				return fmt.Sprintf("%+v", all)
			}
			return ""
		})
	})

	t.Run("remove and create", func(t *testing.T) {
		h.ltc("remove", "redis")
		if v := h.volume("redis/data/0"); v.State != app.VolumeOrphan {
			t.Errorf("got %+v, want an orphan", v)
		}
		h.ltc("create", "redis", "10.99.0.1:5000/redis:7", "--no-routes", "-T", "6379", "-v", "data:/data")
		kept("the app was removed and created again")
		h.ltc("remove", "redis", "--volumes")
		eventually(t, time.Minute, "the volume goes with it", func() string {
			if all := h.volumes(); len(all) != 0 {
				return fmt.Sprintf("%+v", all)
			}
			if _, err := os.Stat(dir); !os.IsNotExist(err) {
				return fmt.Sprintf("its folder: %v", err)
			}
			return ""
		})
	})

	t.Run("moved by hand", func(t *testing.T) { l.moveVolume(t, procs) })

	t.Run("NFS that can't be had", func(t *testing.T) {
		code, _, errs := h.lattice("create", "shared", "10.99.0.1:5000/box:1", "--no-routes", "--no-monitor", "-v", "nfs://10.99.0.1/export:/mnt", "-t", "20s")
		sentences := []string{"install nfs-common (Debian, Ubuntu)", "the kernel of the cell has no NFS client", "the NFS server 10.99.0.1 does not answer"}
		if code == 0 || !slices.ContainsFunc(sentences, func(s string) bool { return strings.Contains(errs, s) }) {
			t.Errorf("exit code %d\n%s", code, errs)
		}
		h.ltc("remove", "shared")
	})

	t.Run("privileged", func(t *testing.T) {
		got := h.ltc("run", "10.99.0.1:5000/box:1", "--rm", "--privileged", "-u", "root", "--", "cat", "/proc/self/uid_map")
		if f := strings.Fields(got); len(f) != 3 || f[0] != "0" || f[1] != "0" {
			t.Errorf("its users: %s", got)
		}
		if out := h.ltc("cells"); !strings.Contains(out, "Privileged") || !strings.Contains(out, "allowed") {
			t.Errorf("cells:\n%s", out)
		}
		h.ltc("cell", "drain", "c2")
		code, _, errs := h.lattice("create", "root", "10.99.0.1:5000/box:1", "--no-routes", "--no-monitor", "--privileged", "-t", "20s")
		if code == 0 || !strings.Contains(errs, "1 does not allow privileged apps") && !strings.Contains(errs, "1 cell does not allow privileged apps") {
			t.Errorf("exit code %d\n%s", code, errs)
		}
		h.ltc("remove", "root")
	})
}

// moveVolume brings a volume from one cell to the other as docs/volumes.md says.
func (l *lab) moveVolume(t *testing.T, procs map[string]*proc) {
	h := l.host("brain")
	h.ltc("create", "notes", "10.99.0.1:5000/box:1", "-m", "32", "--no-routes", "--no-monitor", "-u", "root", "-v", "text:/text", "--",
		"sh", "-c", "trap 'exit 0' TERM; echo $INSTANCE_INDEX >>/text/starts; while :; do sleep 1; done")
	from := h.status("notes").Instances[0].Cell
	to := map[string]string{"c1": "c2", "c2": "c1"}[from]
	v := h.volume("notes/text/0")
	h.ltc("stop", "notes")
	name := filepath.Base(v.Dir)
	source, target := filepath.Join(l.host(from).data(), "cell/volumes", name), filepath.Join(l.host(to).data(), "cell/volumes")
	l.run("cp", "-a", source, filepath.Join(target, "."+name))
	l.run("mv", filepath.Join(target, "."+name), filepath.Join(target, name))
	l.run("rm", "-rf", source)
	eventually(t, 2*time.Minute, "the volume is on the other cell", func() string {
		if got := h.volume("notes/text/0"); got.Cell != to {
			return fmt.Sprintf("%+v", got)
		}
		return ""
	})
	h.ltc("start", "notes")
	if in := h.status("notes").Instances[0]; in.Cell != to {
		t.Errorf("got %+v, want it on %s", in, to)
	}
	if out := h.ltc("exec", "notes", "--", "cat", "/text/starts"); out != "0\n0\n" {
		t.Errorf("the file has %q", out)
	}
	h.ltc("remove", "notes", "--volumes")
}
