package story

import (
	"fmt"
	"strings"

	"lattice/app"
)

// judge says in one sentence what is the matter with an app, and what can be
// done about it.
func (t appTale) judge() (well bool, verdict string, next []Advice) {
	a, in := t.status.App, t.in
	switch r := a.Rollout; {
	case a.Image == "":
		return true, a.Name + " was removed, and its last instances are stopping", nil
	case a.Stopped:
		return true, a.Name + " is stopped: none of its instances shall run", []Advice{{t.say("start %s", a.Name), "has them run again"}}
	case a.Held != "":
		return false, fmt.Sprintf("%s is stopped, as its image is of another registry and the feature %s is disabled", a.Name, a.Held), []Advice{{t.say("feature enable %s", a.Held), "has it run again"}}
	case a.Instances == 0:
		return true, "no instance of " + a.Name + " is wanted", []Advice{{t.say("scale %s 1", a.Name), "asks for one"}}
	case in.Index < 0:
		return false, "its instances have not been placed yet: that takes less than a second unless the brain is in trouble", []Advice{{t.say("doctor"), "checks the cluster"}}
	case trouble(in) >= 2:
		verdict, next = t.matter()
		return false, verdict, next
	case in.Reason != "" && in.Crashes == 0:
		return false, fmt.Sprintf("all instances run, but instance %d can't move: %s", in.Index, in.Reason), t.roomAdvice()
	case r != nil && r.State == app.RolloutPaused:
		return true, "a canary runs and waits for you", []Advice{
			{t.say("update %s --promote", a.Name), "changes the other instances as well"}, {t.say("rollback %s", a.Name), "takes the canary back"},
		}
	case r != nil && r.State == app.RolloutFailed:
		return false, fmt.Sprintf("all instances run, but at revision %d: the change to revision %d failed: %s", a.Revision, r.To, r.Reason), []Advice{
			{t.say("revisions %s", a.Name), "shows what had changed"}, {t.say("logs %s -n 200 --no-follow", a.Name), "shows what the new instances printed"},
			{t.say("update %s …", a.Name), "tries again, with what was wrong put right"},
		}
	case in.Crashes > 0:
		return true, fmt.Sprintf("instance %d runs, but crashed %s before; the last time: %s", in.Index, times(in.Crashes), in.Reason),
			[]Advice{{t.say("logs %s -i %d -n 200 --no-follow", a.Name, in.Index), "shows what it printed"}}
	}
	if up := running(t.status); up < a.Wanted() { // the one that was asked for is another
		return true, fmt.Sprintf("%s/%d runs, but only %d of %d instances do", a.Name, in.Index, up, a.Wanted()), []Advice{{t.say("explain %s", a.Name), "tells of the one with the most trouble"}}
	}
	return true, fmt.Sprintf("all is well: %d of %d instances run", a.Wanted(), a.Wanted()), nil
}

// matter says what holds the instance back.
func (t appTale) matter() (string, []Advice) {
	in, name := t.in, fmt.Sprintf("%s/%d", t.status.App.Name, t.in.Index)
	if c, known := t.cell(in.Cell); known && c.State != app.CellAlive {
		return fmt.Sprintf("the cell of %s, %s, does not answer: when gossip gives it up, another cell takes over", name, c.ID),
			[]Advice{{t.say("explain %s", c.ID), "tells of the cell"}}
	}
	logs := Advice{t.say("logs %s -i %d -n 200 --no-follow", t.status.App.Name, in.Index), "shows what it printed"}
	switch {
	case in.State == app.Unclaimed && in.Reason == "":
		return name + " waits to be placed: that takes less than a second unless the brain is in trouble", []Advice{{t.say("doctor"), "checks the cluster"}}
	case in.State == app.Unclaimed && strings.HasPrefix(in.Reason, "waits for its turn"):
		return name + " " + in.Reason, nil
	case in.State == app.Unclaimed && strings.HasPrefix(in.Reason, "its volume "):
		return name + " can be on one cell only: " + in.Reason, []Advice{
			{t.say("volumes"), "shows where volumes are"}, {"docs/volumes.md", "says how to move one by hand"}}
	case in.State == app.Unclaimed:
		return "no cell takes " + name + ": it " + strings.TrimPrefix(in.Reason, "it "), t.roomAdvice()
	case in.Unready:
		return fmt.Sprintf("%s runs, but no route leads to it: %s", name, in.Reason), []Advice{logs,
			{t.say("update %s --no-readiness", t.status.App.Name), "routes to it without asking whether it is ready"}}
	case in.Pull != nil:
		return "its image is being pulled: " + pulled(*in.Pull), []Advice{{t.say("status %s --rate 1s", t.status.App.Name), "shows how far that is"}}
	case in.State == app.Claimed && in.GUID == "" && in.Crashes == 0:
		return in.Cell + " is about to start " + name, []Advice{{t.say("events %s -f", t.status.App.Name), "shows what comes"}}
	case in.State == app.Claimed && in.Crashes == 0, strings.Contains(in.Reason, "not healthy yet"):
		return fmt.Sprintf("the container of %s runs, but its check has not passed yet: %s", name, orSo(in.Reason, "it is tried")), append([]Advice{logs}, t.checkAdvice()...)
	}
	verdict, next := t.crash(name, logs)
	return verdict, next
}

func orSo(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return strings.TrimPrefix(text, "not healthy yet: ")
}

func pulled(p app.Pull) string {
	const mib = 1 << 20
	if p.Total <= 0 {
		return fmt.Sprintf("%d MiB so far", p.Done/mib)
	}
	return fmt.Sprintf("%d of %d MiB", p.Done/mib, p.Total/mib)
}

// crash says why the instance crashed the last time.
func (t appTale) crash(name string, logs Advice) (string, []Advice) {
	in, a := t.in, t.status.App
	verdict := fmt.Sprintf("%s crashed %s: %s", name, times(in.Crashes), in.Reason)
	update := func(flag, why string) Advice { return Advice{t.say("update %s %s", a.Name, flag), why} }
	switch {
	case in.Cause == app.CauseImage:
		return fmt.Sprintf("%s can't be started: %s", name, in.Reason), []Advice{
			update("--image IMAGE", "gives it an image that there is"), {t.say("logs %s -i %d -n 20 --no-follow", a.Name, in.Index), "shows each try"}}
	case in.Cause == app.CauseCommand:
		return fmt.Sprintf("%s can't be started: %s", name, in.Reason), []Advice{
			update("-- COMMAND ARGS…", "gives it a command that there is"), update("--image-command", "goes back to the image's own")}
	case strings.Contains(in.Reason, "disk of cell"):
		return verdict, []Advice{{"free some space on " + in.Cell, "it is tried again by itself"}, {t.say("cell drain %s", in.Cell), "moves its instances to other cells meanwhile"}}
	case strings.Contains(in.Reason, "ran out of memory"):
		return verdict, []Advice{update(fmt.Sprintf("-m %dM", max(2*a.MemoryMB, app.DefaultMemoryMB)), "gives it more"), logs}
	case strings.Contains(in.Reason, "of disk"):
		return verdict, []Advice{update(fmt.Sprintf("-d %dM", 2*a.DiskMB), "gives it more"), logs}
	case strings.HasPrefix(in.Reason, "not healthy within"):
		return verdict, append([]Advice{logs}, append(t.checkAdvice(), update("--start-timeout 5m", "gives it longer"))...)
	case strings.HasPrefix(in.Reason, "no longer healthy"):
		return verdict, append([]Advice{logs}, t.checkAdvice()...)
	case in.Reason == "exited with code 0":
		return verdict + ". An app must not end", []Advice{logs, {t.say("run %s", a.Image), "runs it once, as a task"}}
	}
	next := []Advice{logs}
	if a.Revision > 1 {
		next = append(next, Advice{t.say("rollback %s", a.Name), "goes back to the revision before"})
	}
	return verdict, next
}

// checkAdvice says what may be wrong with a check that does not pass.
func (t appTale) checkAdvice() []Advice {
	a := t.status.App
	c := a.Check
	if a.Startup != nil && t.in.State != app.Running {
		c = *a.Startup
	}
	update := func(flag, why string) Advice { return Advice{t.say("update %s %s", a.Name, flag), why} }
	none := update("--no-monitor", "counts it as healthy while its process runs")
	switch c.Type {
	case app.CheckPort:
		if c.Port != 0 {
			return []Advice{update("-M PORT", fmt.Sprintf("checks another port than %d; the app must listen on all addresses, not only on 127.0.0.1", c.Port)), none}
		}
		return []Advice{update("-p PORT", fmt.Sprintf("if it listens on another port than %s; it must listen on all addresses, not only on 127.0.0.1", t.port(c))), none}
	case app.CheckHTTP:
		return []Advice{update(fmt.Sprintf("-U %s:/PATH", t.port(c)), "if another path than "+c.Path+" tells that it is well"), none}
	}
	return []Advice{none}
}

// port returns the port of a check as far as that is known.
func (t appTale) port(c app.Check) string {
	switch {
	case c.Port != 0:
		return fmt.Sprint(c.Port)
	case len(t.in.Ports) > 0:
		return fmt.Sprint(t.in.Ports[0].Container)
	case len(t.status.App.Ports) > 0:
		return fmt.Sprint(t.status.App.Ports[0])
	}
	return fmt.Sprint(app.DefaultPort)
}

// roomAdvice says what may give an instance room.
func (t appTale) roomAdvice() []Advice {
	a := t.status.App
	var next []Advice
	alive, free := 0, 0
	for _, c := range t.Cells {
		switch {
		case c.State != app.CellAlive:
			next = append(next, Advice{t.say("explain %s", c.ID), "tells why this cell does not answer"})
		case c.Draining:
			next = append(next, Advice{t.say("cell undrain %s", c.ID), "lets this cell have instances again"})
		default:
			alive++
			free = max(free, c.Capacity.MemoryMB-c.Used.MemoryMB)
		}
	}
	next = next[:min(len(next), 3)]
	if strings.Contains(t.in.Reason, "its volume ") {
		return next // another cell is of no use
	}
	if alive > 0 {
		if free >= app.MinMemoryMB && free < a.MemoryMB {
			next = append(next, Advice{t.say("update %s -m %dM", a.Name, free), "asks for what the emptiest cell has left"})
		}
		if n := running(t.status); n > 0 && n < a.Wanted() {
			next = append(next, Advice{t.say("scale %s %d", a.Name, n), "wants no more than fit"})
		}
		if a.Rules.Any() {
			next = append(next, Advice{t.say("update %s --help", a.Name), "has the flags for where it may run: --require, --zone, --avoid, --one-per-cell"})
		}
	}
	return append(next, Advice{"lattice token > join-token; then on another machine: lattice cell --join ADDRESS --token-file join-token", "adds a cell"})
}
