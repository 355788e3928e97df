package cli

import (
	"fmt"
	"slices"
	"time"

	"lattice/app"
)

// noRoomToChange is how long a change may stand still for want of room. Old
// instances that leave may yet make some, so it is longer than for new ones.
const noRoomToChange = 15 * time.Second

// timeToComeBack is how long the revision before may take to be back before it
// is told that the new one failed.
const timeToComeBack = 10 * time.Second

// defaultChangeTimeout is longer than what one instance may need, since few
// change at a time.
const defaultChangeTimeout = 10 * time.Minute

// A change is the goal of an app that goes to another revision.
type change struct {
	judge
	to uint64

	fresh map[string]bool // by GUID of each container that was seen: it is of the new revision
	worst app.Instance    // the one of the new revision that crashed most
	moved int             // how many ran on the new revision at the last look
	back  string          // after a failure: how far the revision before is back
	gone  time.Time       // when it was known that it failed
	stuck time.Time       // since when it has stood still, or there is room
}

// look is done when the change is, and what was before is gone; for a canary
// when a person must decide.
func (c *change) look(s app.Status, now time.Time) (done bool, err error) {
	c.watch(s)
	switch r := s.App.Rollout; {
	case r == nil || r.To != c.to:
		return false, fail(exitCommand, fmt.Errorf("%s was changed again meanwhile, to revision %d", s.App.Name, s.App.Revision))
	case r.State == app.RolloutPaused:
		return true, nil
	case r.State == app.RolloutDone:
		return c.judge.look(s, now)
	case r.State == app.RolloutRunning:
		return false, c.noRoom(s, now)
	}
	if c.gone.IsZero() {
		c.gone = now
	}
	if runningOn(s, s.App.Revision) < s.App.Wanted() && now.Sub(c.gone) < timeToComeBack {
		return false, nil
	}
	return false, c.failed(s)
}

// watch takes note of the containers of the new revision, which will be gone
// when it is known that it failed.
func (c *change) watch(s app.Status) {
	if c.fresh == nil {
		c.fresh = map[string]bool{}
	}
	for _, in := range s.Instances {
		c.fresh[in.GUID] = in.Revision == c.to
		if in.Revision == c.to && in.Crashes > c.worst.Crashes {
			c.worst = in
		}
	}
	delete(c.fresh, "") // of those that have no container yet
}

// failed returns the failure of a new revision that did not come up.
func (c *change) failed(s app.Status) *failure {
	r := s.App.Rollout
	up, want := runningOn(s, s.App.Revision), s.App.Wanted()
	c.back = fmt.Sprintf("revision %d is back, with %s", s.App.Revision, instancesText(want))
	if up < want {
		c.back = fmt.Sprintf("revision %d is not back yet: %d of %s up", s.App.Revision, up, instancesText(want))
	}
	return &failure{code: exitCommand, err: fmt.Errorf("revision %d of %s did not come up: %s", r.To, s.App.Name, r.Reason)}
}

// noRoom returns an error if the change has stood still for a while because
// instances fit nowhere.
func (c *change) noRoom(s app.Status, now time.Time) error {
	var reasons []string
	for _, in := range s.Instances {
		if (waitsForRoom(in) || in.State == app.Unclaimed && in.Reason != "") && !slices.Contains(reasons, in.Reason) {
			reasons = append(reasons, in.Reason)
		}
	}
	moved := runningOn(s, c.to)
	if len(reasons) == 0 || moved != c.moved || c.stuck.IsZero() {
		c.moved, c.stuck = moved, now
	}
	if now.Sub(c.stuck) < noRoomToChange {
		return nil
	}
	return &failure{
		code:  exitPlacement,
		err:   fmt.Errorf("no room for revision %d of %s: %d of %s changed", c.to, s.App.Name, moved, instancesText(s.App.Wanted())),
		lines: append(reasons, goesOn),
	}
}

// goesOn says that only the user stops waiting.
const goesOn = "The change goes on."

// waitsForRoom reports whether in runs and shall go where there is no room.
func waitsForRoom(in app.Instance) bool {
	return in.State == app.Running && in.Cause == app.CauseRoom
}

// runningOn returns how many of the wanted instances run on a revision.
func runningOn(s app.Status, revision uint64) int {
	s.Instances = slices.DeleteFunc(slices.Clone(s.Instances), func(in app.Instance) bool { return in.Revision != revision })
	return running(s)
}

func (c *change) late(s app.Status, timeout time.Duration, now time.Time) *failure {
	if r := s.App.Rollout; r != nil && r.State == app.RolloutFailed {
		return c.failed(s)
	}
	return &failure{
		code:  exitCommand,
		err:   fmt.Errorf("%s did not change to revision %d within %v: %d of %s did", s.App.Name, c.to, timeout, runningOn(s, c.to), instancesText(s.App.Wanted())),
		lines: append(waiting(s, now), goesOn),
	}
}

// culprit also has lines of containers that were gone before they were seen.
func (c *change) culprit(s app.Status) (app.Instance, func(app.LogLine) bool, bool) {
	const skew = time.Second // between the clocks of brain and cell
	var began time.Time
	if r := s.App.Rollout; r != nil {
		began = r.StartedAt.Add(-skew)
	}
	return c.worst, func(l app.LogLine) bool {
		fresh, seen := c.fresh[l.GUID]
		return fresh || !seen && l.At.After(began)
	}, c.worst.Crashes > 0
}

func (c *change) advise(f *failure, program, name string) {
	if c.back != "" {
		f.lines = append(f.lines, c.back)
		f.hint = fmt.Sprintf("'%[1]s logs %[2]s' and '%[1]s revisions %[2]s' tell more", program, name)
		return
	}
	f.hint = fmt.Sprintf("'%[1]s status %[2]s' shows how far it is; '%[1]s rollback %[2]s' goes back", program, name)
}

func (c *change) leave(program, name string) string {
	return fmt.Sprintf("The change goes on; look at it with '%[1]s status %[2]s', go back with '%[1]s rollback %[2]s'.", program, name)
}

// A renewal is the goal of an instance that gets a new container.
type renewal struct {
	judge
	old []string // IDs of what is to go
}

func (r *renewal) look(s app.Status, now time.Time) (done bool, err error) {
	rest := s
	rest.Instances = slices.DeleteFunc(slices.Clone(s.Instances), func(in app.Instance) bool { return slices.Contains(r.old, in.ID) })
	done, err = r.judge.look(rest, now)
	return done && len(rest.Instances) == len(s.Instances), err
}

// A halt is the goal of an app that was stopped.
type halt struct{ judge }

func (h *halt) late(s app.Status, timeout time.Duration, now time.Time) *failure {
	return &failure{
		code:  exitCommand,
		err:   fmt.Errorf("%s did not stop within %v: %s left", s.App.Name, timeout, instancesText(len(s.Instances))),
		lines: waiting(s, now),
	}
}

func (h *halt) advise(f *failure, program, name string) {
	f.lines = append(f.lines, "lattice goes on with it.")
	f.hint = fmt.Sprintf("'%s status %s' shows how far it is", program, name)
}

func (h *halt) leave(program, name string) string {
	return fmt.Sprintf("%s goes on stopping; '%s start %s' starts it again.", name, program, name)
}
