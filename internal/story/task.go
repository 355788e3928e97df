package story

import (
	"fmt"

	"lattice/app"
)

// OfTask tells of a task.
func OfTask(f Facts, t app.Task) Story {
	s := Story{About: "task " + t.Name, Steps: shorten(f.taskSteps(t), f.Program, "--task "+t.Name), Now: f.taskNow(t)}
	s.Well, s.Verdict, s.Next = f.judgeTask(t)
	return s
}

func (f Facts) taskSteps(t app.Task) []Step {
	steps := []Step{{At: t.CreatedAt, What: fmt.Sprintf("wanted once: %s%s", t.Spec.Image, madeBy(t))}}
	failed := -1
	for _, e := range f.Events {
		if e.Task != t.Name || e.At.Before(t.CreatedAt.Add(-slack)) {
			continue
		}
		s := Step{At: e.At, Tone: tone(e.Kind), What: verb(e.Kind) + ": " + e.Message + by(e.Actor)}
		if e.Kind == app.TaskFailed {
			failed = len(steps)
		}
		steps = append(steps, s)
	}
	if last := t.Last(); last != nil && last.Failed {
		if failed < 0 {
			failed = len(steps)
			steps = append(steps, Step{At: last.EndedAt, Tone: Bad, What: "failed: " + last.Reason})
		}
		steps[failed].Lines = f.printed(0, last.GUID, last.EndedAt)
	}
	return steps
}

func madeBy(t app.Task) string {
	if t.Schedule == "" {
		return ""
	}
	return ", by the schedule " + t.Schedule
}

func (f Facts) taskNow(t app.Task) []string {
	lines := []string{fmt.Sprintf("it is %s, after %s", t.State, plural(len(t.Attempts), "attempt", "attempts"))}
	if t.State == app.Completed && !t.ExpiresAt().Before(f.Now) {
		lines = append(lines, "it is forgotten in "+until(t.ExpiresAt(), f.Now))
	}
	if c := t.Callback; c != nil && !c.Done {
		text := fmt.Sprintf("its callback was not taken, after %s: %s", plural(c.Tries, "try", "tries"), c.Reason)
		if c.GaveUp {
			text += "; it is not tried again"
		}
		lines = append(lines, text)
	}
	return lines
}

func (f Facts) judgeTask(t app.Task) (well bool, verdict string, next []Advice) {
	logs := Advice{f.say("logs %s -n 200 --no-follow", t.Name), "shows what it printed"}
	switch {
	case t.State == app.Completed && t.Cancelled:
		return true, t.Name + " was cancelled", nil
	case t.State == app.Completed && t.Failed:
		return false, fmt.Sprintf("%s failed: %s", t.Name, t.Reason), []Advice{logs, {f.say("task %s", t.Name), "shows its attempts and its result"}}
	case t.State == app.Completed:
		return true, t.Name + " ended well", nil
	case t.State == app.Pending && t.RetryAt.After(f.Now):
		return false, fmt.Sprintf("%s failed and is tried again in %s: %s", t.Name, until(t.RetryAt, f.Now), t.Reason), []Advice{logs, {f.say("cancel-task %s", t.Name), "ends the tries"}}
	case t.State == app.Pending && t.Reason != "":
		a := t.Spec
		a.Name, a.Instances = t.Name, 1
		room := appTale{Facts: f, status: app.Status{App: a}}.roomAdvice()
		return false, fmt.Sprintf("no cell takes %s: it %s", t.Name, t.Reason), append(onlyFor(room, "update"), Advice{f.say("cancel-task %s", t.Name), "gives it up"})
	case t.State == app.Pending:
		return true, t.Name + " waits to be placed", nil
	case t.Run != nil && t.Run.Pull != nil:
		return true, "its image is being pulled: " + pulled(*t.Run.Pull), nil
	case t.Reason != "":
		return false, t.Reason, []Advice{{f.say("explain %s", t.Cell()), "tells of its cell"}}
	}
	return true, fmt.Sprintf("%s is at work on %s", t.Name, t.Cell()), []Advice{logs}
}

// onlyFor drops the advice that begins with a command that is not for tasks.
func onlyFor(all []Advice, not string) []Advice {
	var kept []Advice
	for _, a := range all {
		if !isCommand(a.Type, not) {
			kept = append(kept, a)
		}
	}
	return kept
}
