package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lattice/app"
)

// long is how long an end-to-end test waits for a step of a task.
const long = time.Minute

// hello is the command of a task in the sample image.
func hello(args ...string) []string { return append([]string{"--", "/bin/hello", "task"}, args...) }

// task returns what `ltc task NAME -o json` shows.
func (h *host) task(name string) (t app.Task) {
	h.t.Helper()
	if err := json.Unmarshal([]byte(h.ltc("task", name, "-o", "json")), &t); err != nil {
		h.t.Fatalf("task %s: %v", name, err)
	}
	return t
}

// taskIs waits until a task is in a state, and returns it.
func (h *host) taskIs(name string, state app.State) (t app.Task) {
	h.t.Helper()
	eventually(h.t, long, name+" is "+string(state), func() string {
		if t = h.task(name); t.State == state {
			return ""
		}
		return fmt.Sprintf("%s %s %+v", t.State, t.Reason, t.Attempts)
	})
	return t
}

// detach runs a task in the background and returns its name.
func (h *host) detach(args ...string) string {
	h.t.Helper()
	return strings.TrimSpace(h.ltc(append([]string{"run", "lattice/hello", "--detach"}, args...)...))
}

// starts counts how often the cell started a container of the task, as the log
// has it, and its program began, as that says itself.
func (h *host) starts(name string) (containers, programs int) {
	for _, l := range h.logLines(name) {
		if l.Source == app.SourceCell && strings.Contains(l.Text, "started the container") {
			containers++
		}
		if strings.Contains(l.Text, "(1 of ") {
			programs++
		}
	}
	return containers, programs
}

// TestLifeOfTasks is what a person does with tasks on one machine.
func TestLifeOfTasks(t *testing.T) {
	h := newLab(t, "one").host("one")
	h.up()
	t.Run("exit code 0", func(t *testing.T) {
		code, out, errs := h.lattice(append([]string{"run", "lattice/hello", "--name", "fine"}, hello("-times", "3", "-every", "10ms")...)...)
		if code != 0 || strings.Count(out, "hello-task: hello") != 3 {
			t.Errorf("exit code %d, stdout %q, stderr %q", code, out, errs)
		}
		if x := h.task("fine"); x.State != app.Completed || x.Failed || x.ExitCode == nil || *x.ExitCode != 0 || len(x.Attempts) != 1 {
			t.Errorf("%+v", x)
		}
	})
	t.Run("exit code 3", func(t *testing.T) {
		code, out, errs := h.lattice(append([]string{"run", "lattice/hello", "--name", "three", "-e", "SECRET=sesame"}, hello("-exit", "3")...)...)
		if code != 3 || !strings.Contains(out, "hello-task") || !strings.Contains(errs, "exited with code 3") {
			t.Errorf("exit code %d, stdout %q, stderr %q", code, out, errs)
		}
		if text := h.ltc("task", "three", "-o", "json") + h.ltc("tasks", "-o", "json"); strings.Contains(text, "sesame") {
			t.Errorf("a secret is shown: %s", text)
		}
	})
	t.Run("many lines, all of them", func(t *testing.T) {
		code, out, _ := h.lattice(append([]string{"run", "lattice/hello", "--rm"}, hello("-times", "3000", "-every", "1us")...)...)
		if n := strings.Count(out, "\n"); code != 0 || n != 3000 || !strings.Contains(out, "(3000 of 3000)") {
			t.Errorf("exit code %d, %d lines", code, n)
		}
		if out := h.ltc("tasks"); strings.Contains(out, "hello-") {
			t.Errorf("still there after --rm: %s", out)
		}
	})
	t.Run("result", func(t *testing.T) {
		h.ltc(append([]string{"run", "lattice/hello", "--name", "result", "--result-file", "/tmp/out"}, hello("-say", "42", "-write", "/tmp/out")...)...)
		if x := h.task("result"); x.Result != "42" || x.Failed {
			t.Errorf("%+v", x)
		}
		for size, says := range map[string]string{"20480": "", "20481": "at most 20480"} {
			code, _, errs := h.lattice(append([]string{"run", "lattice/hello", "--name", "big" + size, "--result-file", "/tmp/out"}, hello("-write", "/tmp/out", "-size", size)...)...)
			if x := h.task("big" + size); (code == 0) != (says == "") || x.Failed != (says != "") || !strings.Contains(errs, says) || says == "" && len(x.Result) != 20480 {
				t.Errorf("%s bytes: exit code %d, %q, %d bytes", size, code, errs, len(x.Result))
			}
		}
		if code, _, errs := h.lattice(append([]string{"run", "lattice/hello", "--name", "none", "--result-file", "/tmp/out"}, hello()...)...); code != 125 || !strings.Contains(errs, "not found") {
			t.Errorf("a result that isn't there: exit code %d, %q", code, errs)
		}
	})
	t.Run("timeout", func(t *testing.T) {
		code, _, errs := h.lattice(append([]string{"run", "lattice/hello", "--name", "slow", "--timeout", "1s"}, hello("-times", "1000")...)...)
		if code != 125 || !strings.Contains(errs, "did not end within 1s") {
			t.Errorf("exit code %d, %q", code, errs)
		}
	})
	t.Run("cancel and delete", func(t *testing.T) {
		name := h.detach(hello("-times", "1000")...)
		h.taskIs(name, app.Running)
		h.ltc("cancel-task", name)
		if x := h.task(name); !x.Cancelled || !x.Failed || x.State != app.Completed || x.Run != nil {
			t.Errorf("%+v", x)
		}
		if code, _, errs := h.lattice("cancel-task", name); code != 14 || !strings.Contains(errs, "ended already") {
			t.Errorf("cancelled twice: %d %q", code, errs)
		}
		h.ltc("delete-task", name)
		if code, _, _ := h.lattice("task", name); code != 14 {
			t.Errorf("a deleted task is there: %d", code)
		}
	})
	t.Run("retries", func(t *testing.T) {
		code, _, errs := h.lattice(append([]string{"run", "lattice/hello", "--name", "again", "--retries", "2"}, hello("-exit", "1")...)...)
		x := h.task("again")
		if code != 1 || len(x.Attempts) != 3 || !strings.Contains(errs, "attempt 1 of 3 failed") {
			t.Errorf("exit code %d, %q, %+v", code, errs, x.Attempts)
		}
	})
	t.Run("no such command", func(t *testing.T) {
		if code, _, errs := h.lattice("run", "lattice/hello", "--", "/bin/nothing"); code != 125 || !strings.Contains(errs, "/bin/nothing") {
			t.Errorf("exit code %d, %q", code, errs)
		}
	})
	t.Run("no room, then room", func(t *testing.T) {
		name := h.detach("--memory-mb", "16000000")
		x := h.taskIs(name, app.Pending)
		eventually(t, long, "a reason", func() string {
			if x = h.task(name); strings.Contains(x.Reason, "memory") {
				return ""
			}
			return x.Reason
		})
		h.ltc("cancel-task", name)
	})
	t.Run("names", func(t *testing.T) {
		if code, _, errs := h.lattice("run", "lattice/hello", "--name", "fine"); code != 14 || !strings.Contains(errs, "already exists") {
			t.Errorf("twice the same: %d %q", code, errs)
		}
		if code, _, errs := h.lattice("create", "fine", "lattice/hello"); code != 14 || !strings.Contains(errs, "already exists") {
			t.Errorf("an app named as a task: %d %q", code, errs)
		}
	})
	t.Run("ttl", func(t *testing.T) {
		h.ltc(append([]string{"run", "lattice/hello", "--name", "brief", "--ttl", "1s"}, hello()...)...)
		eventually(t, long, "it is forgotten", func() string {
			if code, out, _ := h.lattice("task", "brief"); code == 0 {
				return out
			}
			return ""
		})
	})
	t.Run("callback", func(t *testing.T) { callbackIsMade(t, h) })
	t.Run("schedule", func(t *testing.T) { scheduleMakesTasks(t, h) })
	t.Run("submit", func(t *testing.T) {
		file := filepath.Join(h.dir, "task.json")
		if err := os.WriteFile(file, []byte(`{"task_guid":"old","domain":"lattice","rootfs":"docker:///lattice/hello","memory_mb":64,
			"action":{"timeout":{"timeout":60000000000,"action":{"run":{"path":"/bin/hello","args":["task","-exit","4"]}}}}}`), 0o600); err != nil {
			t.Fatal(err)
		}
		h.ltc("submit-task", file)
		if x := h.taskIs("old", app.Completed); *x.ExitCode != 4 || x.Timeout != app.Duration(time.Minute) {
			t.Errorf("%+v", x)
		}
	})
	t.Run("nothing is left on the cell", func(t *testing.T) {
		eventually(t, long, "no record and no container", func() string {
			files, _ := filepath.Glob(filepath.Join(h.data(), "cell", "instances", "*"))
			dirs, _ := filepath.Glob(filepath.Join(h.data(), "cell", "containerd", "containers", "*"))
			return strings.Join(append(files, dirs...), " ")
		})
	})
}

// callbackIsMade has the end of a task told to a server that refuses at first.
func callbackIsMade(t *testing.T, h *host) {
	var mu sync.Mutex
	var bodies []string
	ln := h.listen("127.0.0.1:0")
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		if bodies = append(bodies, string(b)); len(bodies) == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})}
	go srv.Serve(ln)
	defer srv.Close()
	h.ltc(append([]string{"run", "lattice/hello", "--name", "told", "-e", "SECRET=sesame", "--callback", "http://" + ln.Addr().String() + "/hook/sesame"}, hello()...)...)
	eventually(t, long, "the call is taken", func() string {
		if c := h.task("told").Callback; c == nil || !c.Done {
			return fmt.Sprintf("%+v", c)
		}
		return ""
	})
	mu.Lock()
	defer mu.Unlock()
	var told app.Task
	if err := json.Unmarshal([]byte(bodies[len(bodies)-1]), &told); err != nil || len(bodies) != 2 || told.Name != "told" || told.State != app.Completed {
		t.Errorf("%d calls, %v: %s", len(bodies), err, bodies)
	}
	if all := strings.Join(bodies, "") + h.ltc("task", "told", "-o", "json"); strings.Contains(all, "sesame") {
		t.Errorf("a secret is told: %s", all)
	}
}

// scheduleMakesTasks lets a schedule make tasks, some of which are skipped.
func scheduleMakesTasks(t *testing.T, h *host) {
	h.ltc(append([]string{"schedule", "tick", "@every 2s", "lattice/hello", "--keep", "2"}, hello()...)...)
	h.ltc(append([]string{"schedule", "busy", "@every 1s", "lattice/hello", "--concurrency", "forbid"}, hello("-times", "1000")...)...)
	h.ltc(append([]string{"schedule", "fresh", "* * * * * *", "lattice/hello", "--concurrency", "replace", "--time-zone", "Europe/Berlin"}, hello("-times", "1000")...)...)
	eventually(t, long, "three tasks have run, of which two are kept", func() string {
		s := h.schedule("tick")
		kept := h.tasksOf("tick", app.Completed)
		if s.Runs >= 4 && len(kept) == 2 && !kept[0].Failed {
			return ""
		}
		return fmt.Sprintf("%+v, kept %d", s.History, len(kept))
	})
	eventually(t, long, "times were skipped", func() string {
		s := h.schedule("busy")
		skipped := slices.ContainsFunc(s.History, func(r app.ScheduleRun) bool {
			return r.Task == "" && strings.Contains(r.Note, "busy-1 has not ended")
		})
		if skipped && s.Runs == 1 {
			return ""
		}
		return fmt.Sprintf("%+v", s)
	})
	eventually(t, long, "tasks were replaced", func() string {
		s := h.schedule("fresh")
		for _, r := range s.History {
			if r.Failed && strings.Contains(r.Reason, "replaced") && len(h.tasksOf("fresh", app.Running)) <= 1 {
				return ""
			}
		}
		return fmt.Sprintf("%+v", s)
	})
	h.ltc("unschedule", "busy", "fresh")
	h.ltc("schedule", "tick", "--remove")
	if out := h.ltc("schedules", "-o", "json"); strings.TrimSpace(out) != "[]" {
		t.Errorf("left: %s", out)
	}
	for _, x := range append(h.tasksOf("busy", app.Running), h.tasksOf("fresh", app.Running)...) {
		h.ltc("delete-task", x.Name)
	}
}

func (h *host) schedule(name string) (s app.Schedule) {
	h.t.Helper()
	if err := json.Unmarshal([]byte(h.ltc("schedules", name, "-o", "json")), &s); err != nil {
		h.t.Fatal(err)
	}
	return s
}

func (h *host) tasksOf(schedule string, state app.State) (list []app.Task) {
	h.t.Helper()
	if err := json.Unmarshal([]byte(h.ltc("tasks", "-o", "json")), &list); err != nil {
		h.t.Fatal(err)
	}
	return slices.DeleteFunc(list, func(t app.Task) bool { return t.Schedule != schedule || t.State != state })
}

// listen listens inside the host's network.
func (h *host) listen(addr string) net.Listener {
	h.t.Helper()
	type result struct {
		ln  net.Listener
		err error
	}
	done := make(chan result)
	go func() { // the thread enters the namespace and ends with the goroutine
		runtime.LockOSThread()
		var r result
		f, err := os.Open("/run/netns/" + h.ns)
		if err == nil {
			err = unix.Setns(int(f.Fd()), unix.CLONE_NEWNET)
			f.Close()
		}
		if r.err = err; err == nil {
			r.ln, r.err = net.Listen("tcp", addr)
		}
		done <- r
	}()
	r := <-done
	if r.err != nil {
		h.t.Fatal(r.err)
	}
	return r.ln
}
