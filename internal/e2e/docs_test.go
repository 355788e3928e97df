package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// The pages in docs have blocks like this one, which are run:
//
//	```console
//	$ ltc scale hello 3
//	hello is scaled to 3…
//	brain# ltc cells
//	```
//
// A line with a prompt is a command, which must succeed; a name before the
// prompt is the machine, else it is the page's own. The lines below it must be
// in what it prints, in this order; … stands for anything. A block that begins
// with a language and a name is a file, and made.

// A step is a command of a page and lines that it must print.
type step struct {
	line  int
	where string
	run   string
	want  []string
}

var prompt = regexp.MustCompile(`^([a-z0-9-]*)[$#] (.+)$`)

// steps reads a page.
func steps(t *testing.T, page string) []step {
	t.Helper()
	b, err := os.ReadFile("../../docs/" + page)
	if err != nil {
		t.Fatal(err)
	}
	var all []step
	inside, open, file := false, false, false
	for i, line := range strings.Split(string(b), "\n") {
		switch m := prompt.FindStringSubmatch(line); {
		case strings.HasPrefix(line, "```"):
			if file {
				all[len(all)-1].run += "\nEND"
			}
			inside, open = line == "```console", false
			_, name, ok := strings.Cut(line, " ")
			if file = ok; file {
				all = append(all, step{line: i + 1, run: "cat > " + name + " <<'END'"})
			}
		case file:
			all[len(all)-1].run += "\n" + line
		case !inside:
		case open || m != nil && strings.HasSuffix(line, "\\"):
			if !open {
				all = append(all, step{line: i + 1, where: m[1], run: m[2]})
			} else {
				all[len(all)-1].run += "\n" + line
			}
			open = strings.HasSuffix(line, "\\")
		case m != nil:
			all = append(all, step{line: i + 1, where: m[1], run: m[2]})
		case len(all) > 0 && strings.Trim(line, "… ") != "":
			all[len(all)-1].want = append(all[len(all)-1].want, line)
		}
	}
	if len(all) == 0 {
		t.Fatalf("%s has no commands", page)
	}
	return all
}

// printed reports which line of want is not in out, in order; empty: none.
func printed(out string, want []string) (missing string) {
	lines := strings.Split(out, "\n")
	for _, w := range want {
		var parts []string
		for _, p := range strings.Split(strings.Join(strings.Fields(w), " "), "…") {
			parts = append(parts, regexp.QuoteMeta(p))
		}
		re := regexp.MustCompile("^" + strings.Join(parts, ".*") + "$")
		i := 0
		for i < len(lines) && !re.MatchString(strings.Join(strings.Fields(lines[i]), " ")) {
			i++
		}
		if i == len(lines) {
			return w
		}
		lines = lines[i+1:]
	}
	return ""
}

// try runs a page; shell returns the command that runs a script on a machine.
func try(t *testing.T, page string, shell func(where, script string) *exec.Cmd) {
	t.Helper()
	for _, s := range steps(t, page) {
		start := time.Now()
		cmd := shell(s.where, s.run)
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		cmd.WaitDelay = time.Second // what it leaves in the background has our pipe
		kill := time.AfterFunc(3*time.Minute, func() { cmd.Process.Kill() })
		err := cmd.Run()
		kill.Stop()
		if err != nil {
			t.Fatalf("docs/%s:%d: %s: %v\n%s", page, s.line, s.run, err, out.String())
		}
		if missing := printed(out.String(), s.want); missing != "" {
			t.Errorf("docs/%s:%d: %s: does not print %q, but\n%s", page, s.line, s.run, missing, out.String())
		}
		t.Logf("%s:%d: %s (%v)", page, s.line, s.run, time.Since(start).Round(time.Millisecond))
	}
}

// TestDocsOnOneMachine tries the pages that need only one.
func TestDocsOnOneMachine(t *testing.T) {
	for _, page := range []string{"first-app.md", "migrating.md", "volumes.md"} {
		t.Run(page, func(t *testing.T) {
			h := newLab(t, "one").host("one")
			work := filepath.Join(h.dir, "work")
			bin := filepath.Join(h.dir, "bin")
			for _, d := range []string{work, bin} {
				if err := os.MkdirAll(d, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			for _, name := range []string{"lattice", "ltc"} {
				if err := os.Symlink(h.binary, filepath.Join(bin, name)); err != nil {
					t.Fatal(err)
				}
			}
			try(t, page, func(_, script string) *exec.Cmd {
				cmd := h.command("bash", "-eo", "pipefail", "-c", script)
				cmd.Dir = work
				cmd.Env = append(cmd.Env, "PATH="+bin+":"+os.Getenv("PATH"))
				return cmd
			})
		})
	}
}

// TestDocsOnHosts tries the pages about machines of one's own, on three.
func TestDocsOnHosts(t *testing.T) {
	names := []string{"brain", "cell-1", "cell-2"}
	lab := newLab(t, names...)
	machines := map[string]*machine{}
	var boots sync.WaitGroup
	var mu sync.Mutex
	for _, name := range names {
		boots.Go(func() {
			m := lab.host(name).boot()
			mu.Lock()
			defer mu.Unlock()
			machines[name] = m
		})
	}
	boots.Wait()
	if t.Failed() {
		return
	}
	acquaint(t, machines)
	shell := func(where, script string) *exec.Cmd {
		m := machines[where]
		if m == nil {
			t.Fatalf("%s is on %q, which is none of %v", script, where, names)
		}
		return m.inside("bash", "-eo", "pipefail", "-c", "cd /root; "+script)
	}
	try(t, "own-hosts.md", shell)
	for _, m := range machines {
		m.copyBinary(m.binary, "a newer version")
	}
	try(t, "operations.md", shell)
}

// acquaint lets the machines know each other by name, and root of each log in
// on all.
func acquaint(t *testing.T, machines map[string]*machine) {
	t.Helper()
	hosts := "127.0.0.1 localhost\n"
	for name, m := range machines {
		hosts += fmt.Sprintln(m.addr, name)
	}
	key := filepath.Join(t.TempDir(), "key")
	machines["brain"].run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
	private, err1 := os.ReadFile(key)
	public, err2 := os.ReadFile(key + ".pub")
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	for _, m := range machines {
		m.write("/etc/hosts", hosts)
		m.sh("install -d -m 0700 /root/.ssh")
		m.write("/root/.ssh/authorized_keys", string(public))
		m.write("/root/.ssh/config", "StrictHostKeyChecking no\nUserKnownHostsFile /dev/null\nLogLevel ERROR\n")
		m.write("/root/.ssh/id_ed25519", string(private))
		m.sh("chmod 0600 /root/.ssh/id_ed25519; ssh-keygen -A; systemctl restart ssh")
	}
}
