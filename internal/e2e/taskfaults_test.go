package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lattice/app"
)

// TestTaskSurvivesKilledProcesses kills lattice with SIGKILL while tasks run,
// wait and end: each is found again, and none runs twice.
func TestTaskSurvivesKilledProcesses(t *testing.T) {
	h := newLab(t, "one").host("one")
	p := h.up()
	running := h.detach(append([]string{"--name", "running"}, hello("-times", "30")...)...)
	h.taskIs(running, app.Running)
	ending := h.detach(append([]string{"--name", "ending", "--result-file", "/tmp/r"}, hello("-times", "3", "-exit", "7", "-write", "/tmp/r")...)...)
	h.taskIs(ending, app.Running)
	p.kill()
	eventually(t, long, "the task ends while nobody is there", func() string {
		if strings.Contains(strings.ReplaceAll(processes(t), "\x00", " "), "hello task -times 3 -exit 7") {
			return "it runs"
		}
		return ""
	})
	p = h.up()
	if x := h.taskIs(ending, app.Completed); x.ExitCode == nil || *x.ExitCode != 7 || x.Result != "hello" {
		t.Errorf("ended while lattice was away: %+v", x)
	}
	for i := range 6 { // at moments that nobody chose
		name := h.detach(append([]string{"--name", fmt.Sprint("burst", i)}, hello("-times", "3", "-every", "100ms")...)...)
		time.Sleep(time.Duration(i) * 20 * time.Millisecond)
		p.kill()
		p = h.up()
		x := h.taskIs(name, app.Completed)
		eventually(t, long, "its log", func() string {
			containers, programs := h.starts(name)
			if containers > 1 || programs > 1 {
				t.Fatalf("%s was started %d times and ran %d times: %+v", name, containers, programs, x)
			}
			if x.Failed || programs == 1 {
				return ""
			}
			return fmt.Sprintf("%d starts, %d runs, %+v", containers, programs, x)
		})
		t.Logf("killed %d ms after the task was submitted: %s %s", i*20, x.State, x.Reason)
	}
	x := h.taskIs(running, app.Completed)
	containers, programs := h.starts(running)
	if x.Failed || len(x.Attempts) != 1 || containers != 1 || programs != 1 {
		t.Errorf("started %d times and ran %d times: %+v", containers, programs, x)
	}
}

// TestDownForgetsNoTask stops everything on the machine while a task runs: it
// has failed then, and does not run again.
func TestDownForgetsNoTask(t *testing.T) {
	h := newLab(t, "one").host("one")
	h.up()
	name := h.detach(hello("-times", "1000")...)
	h.taskIs(name, app.Running)
	h.ltc("down")
	h.up()
	x := h.taskIs(name, app.Completed)
	if containers, programs := h.starts(name); !x.Failed || containers > 1 || programs > 1 || !strings.Contains(x.Reason, "its container is gone") {
		t.Errorf("started %d times and ran %d times: %+v", containers, programs, x)
	}
}

// TestLostCellFailsItsTasks takes the machine of a task away, for good and for a
// short time.
func TestLostCellFailsItsTasks(t *testing.T) {
	l, brain, procs := cluster(t, "c1", "c2")
	brain.ltc("cell", "drain", "c2")
	for name, args := range map[string][]string{"once": nil, "again": {"--retries", "1"}} {
		brain.detach(append(append([]string{"--name", name}, args...), hello("-times", "40")...)...)
		if x := brain.taskIs(name, app.Running); x.Cell() != "c1" {
			t.Fatalf("%s runs on %s", name, x.Cell())
		}
	}
	brain.ltc("cell", "undrain", "c2")

	procs["c1"].kill() // and back within the grace
	time.Sleep(4 * time.Second)
	procs["c1"] = l.host("c1").start("cell")
	l.host("c1").waitReady(procs["c1"])
	for _, name := range []string{"once", "again"} {
		eventually(t, long, name+" was found again", func() string {
			if x := brain.task(name); x.State != app.Running || x.Run == nil || len(x.Attempts) != 1 {
				return fmt.Sprintf("%+v", x)
			}
			return ""
		})
	}

	procs["c1"].kill()
	start := time.Now()
	eventually(t, 2*time.Minute, "the task has failed", func() string {
		if x := brain.task("once"); x.State == app.Completed {
			return ""
		} else {
			return fmt.Sprintf("%s %s", x.State, x.Reason)
		}
	})
	t.Logf("kill -9 of the cell to failed: %v", time.Since(start).Round(time.Millisecond))
	if x := brain.task("once"); !x.Failed || !strings.Contains(x.Reason, "cell c1 was lost") || len(x.Attempts) != 1 {
		t.Errorf("%+v", x)
	}
	x := brain.taskIs("again", app.Running)
	if len(x.Attempts) != 2 || x.Cell() != "c2" || !strings.Contains(x.Attempts[0].Reason, "cell c1 was lost") {
		t.Errorf("%+v", x)
	}
	brain.ltc("cancel-task", "again")

	// The cell comes back with containers still running that nobody wants.
	procs["c1"] = l.host("c1").start("cell")
	l.host("c1").waitReady(procs["c1"])
	eventually(t, long, "nothing of them is left", func() string {
		files, _ := filepath.Glob(filepath.Join(l.host("c1").data(), "cell", "instances", "*"))
		return strings.Join(files, " ")
	})
}

// TestDrainLetsTasksEnd drains a cell with a task: the task stays to its end,
// new ones go elsewhere.
func TestDrainLetsTasksEnd(t *testing.T) {
	_, brain, _ := cluster(t, "c1", "c2")
	name := brain.detach(hello("-times", "8")...)
	on := brain.taskIs(name, app.Running).Cell()
	brain.ltc("cell", "drain", on)
	other := brain.taskIs(brain.detach(hello()...), app.Completed)
	if other.Cell() == on || other.Failed {
		t.Errorf("%+v, though %s drains", other, on)
	}
	if x := brain.taskIs(name, app.Completed); x.Failed || len(x.Attempts) != 1 || x.Cell() != on {
		t.Errorf("%+v", x)
	}
}

// TestStrayTaskIsAdopted loses the brain's store while a task runs.
func TestStrayTaskIsAdopted(t *testing.T) {
	_, brain, _ := cluster(t, "c1")
	kept, lost := brain.detach(hello("-times", "20")...), brain.detach(hello("-times", "1000")...)
	for _, name := range []string{kept, lost} {
		brain.taskIs(name, app.Running)
	}
	brain.procs[0].kill()
	if err := os.Remove(filepath.Join(brain.data(), "brain", "brain.db")); err != nil {
		t.Fatal(err)
	}
	brain.waitReady(brain.start("brain"))
	// A brain that has just come may lose sight of the cell once more.
	for _, args := range [][]string{{"adopt", kept}, {"adopt", lost, "--discard", "--yes"}} {
		eventually(t, long, strings.Join(args, " "), func() string {
			code, out, errs := brain.lattice(args...)
			return either(code == 0, out+errs)
		})
	}
	x := brain.taskIs(kept, app.Completed)
	if containers, _ := brain.starts(kept); x.Failed || len(x.Attempts) != 1 || containers > 1 {
		t.Errorf("started %d times: %+v", containers, x)
	}
	eventually(t, long, "no strays are left", func() string {
		if out := brain.ltc("list", "--strays", "-o", "json"); strings.TrimSpace(out) != "[]" {
			return out
		}
		return ""
	})
}

// TestTaskEndsWithoutItsBrain kills the brain while a task runs, and right after
// another was submitted. What became of them comes back with it.
func TestTaskEndsWithoutItsBrain(t *testing.T) {
	_, brain, _ := cluster(t, "c1")
	names := []string{brain.detach(append([]string{"--result-file", "/tmp/r"}, hello("-times", "3", "-exit", "5", "-write", "/tmp/r")...)...)}
	brain.taskIs(names[0], app.Running)
	names = append(names, brain.detach(append([]string{"--result-file", "/tmp/r"}, hello("-exit", "5", "-write", "/tmp/r")...)...))
	brain.procs[0].kill()
	eventually(t, long, "the task ends without the brain", func() string {
		if strings.Contains(strings.ReplaceAll(processes(t), "\x00", " "), "hello task -times 3 -exit 5") {
			return "it runs"
		}
		return ""
	})
	brain.waitReady(brain.start("brain"))
	for _, name := range names {
		x := brain.taskIs(name, app.Completed)
		if x.ExitCode == nil || *x.ExitCode != 5 || x.Result != "hello" || len(x.Attempts) != 1 {
			t.Errorf("%+v", x)
		}
		eventually(t, long, "its log", func() string {
			containers, programs := brain.starts(name)
			return either(containers == 1 && programs == 1, fmt.Sprintf("%d starts, %d runs", containers, programs))
		})
	}
}
