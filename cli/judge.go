package cli

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"lattice/app"
)

const (
	crashLoop = 3               // crashes after which an instance won't come up by itself
	noRoomFor = 3 * time.Second // a placement that fails for so long won't come by itself
	steadyFor = time.Second     // how long one that may fall over at once has to stand
)

// A judge says from one status of an app to the next whether it has come up,
// or why it is certain that it won't.
type judge struct {
	fresh  bool                 // the app is new: what is on its way out belonged to another one of its name
	noRoom time.Time            // since when a placement fails; zero: it doesn't
	stands map[string]time.Time // by GUID: since when it was seen running
}

// look returns whether s is what its app asks for, with nothing left over. An
// error says that it will not become so by itself.
func (j *judge) look(s app.Status, now time.Time) (done bool, err error) {
	if err := broken(s); err != nil {
		return false, err
	}
	if err := j.refused(s, now); err != nil {
		return false, err
	}
	up, leftOver := map[int]bool{}, false
	for _, in := range s.Instances {
		switch {
		case in.Stray:
		case !wanted(in, s.App) || !inForce(in.Revision, s.App):
			leftOver = true
		case in.State == app.Running && !in.Unready && j.stable(in, s.App.Check, now):
			up[in.Index] = true
		}
	}
	return len(up) == s.App.Wanted() && (j.fresh || !leftOver), nil
}

// inForce reports whether a is asked to run a revision: the newest, or as long
// as a canary waits for a person also the one before.
func inForce(revision uint64, a app.App) bool {
	r := a.Rollout
	return revision == a.Revision || r != nil && r.State == app.RolloutPaused && revision == r.From
}

// stable reports whether in can be relied on. One that passed a check can, but
// one without a check, or one that crashed before, has to stand for a while.
func (j *judge) stable(in app.Instance, c app.Check, now time.Time) bool {
	if c.Type != app.CheckNone && in.Crashes == 0 {
		return true
	}
	if j.stands == nil {
		j.stands = map[string]time.Time{}
	}
	since, ok := j.stands[in.GUID]
	if !ok {
		j.stands[in.GUID] = now
		return false
	}
	return now.Sub(since) >= steadyFor
}

// broken returns an error if an instance can't come up: its image or its
// command is wrong, or it crashes again and again.
func broken(s app.Status) error {
	for _, in := range s.Instances {
		if !wanted(in, s.App) || in.Crashes == 0 || in.State == app.Running {
			continue // one that is on its next try is judged by the last
		}
		who := fmt.Sprintf("%s/%d", s.App.Name, in.Index)
		switch reason := cmp.Or(in.Reason, "no reason known"); {
		case in.Cause == app.CauseImage:
			return fail(exitImage, fmt.Errorf("%s can't be started: %s", who, reason))
		case in.Cause == app.CauseCommand:
			return fail(exitCommand, fmt.Errorf("%s can't be started: %s", who, reason))
		case in.Crashes >= crashLoop:
			return fail(exitCommand, fmt.Errorf("%s crashed %d times: %s", who, in.Crashes, reason))
		}
	}
	return nil
}

// refused returns an error if instances have found no cell for a while.
func (j *judge) refused(s app.Status, now time.Time) error {
	var reasons []string
	n := 0
	for _, in := range s.Instances {
		if wanted(in, s.App) && in.State == app.Unclaimed && in.Reason != "" && in.Cause != app.CauseTurn {
			n++
			if !slices.Contains(reasons, in.Reason) {
				reasons = append(reasons, in.Reason)
			}
		}
	}
	if n == 0 {
		j.noRoom = time.Time{}
		return nil
	}
	if j.noRoom.IsZero() {
		j.noRoom = now
	}
	if now.Sub(j.noRoom) < noRoomFor {
		return nil
	}
	return &failure{
		code:  exitPlacement,
		err:   fmt.Errorf("no room for %d of %d instances of %s", n, s.App.Wanted(), s.App.Name),
		lines: reasons,
		hint:  "ask for less memory, disk or instances, or add a cell",
	}
}

// late returns the failure of an app that did not come up in time.
func (j *judge) late(s app.Status, timeout time.Duration, now time.Time) *failure {
	text := fmt.Sprintf("%s did not come up within %v: %d of %d instances run", s.App.Name, timeout, running(s), s.App.Wanted())
	return &failure{code: exitCommand, err: errors.New(text), lines: waiting(s, now)}
}

// culprit returns the first instance that crashed.
func (j *judge) culprit(s app.Status) (app.Instance, func(app.LogLine) bool, bool) {
	i := slices.IndexFunc(s.Instances, func(in app.Instance) bool { return in.Crashes > 0 && wanted(in, s.App) })
	if i < 0 {
		return app.Instance{}, nil, false
	}
	return s.Instances[i], nil, true
}

func (j *judge) advise(f *failure, program, name string) {
	f.lines = append(f.lines, fmt.Sprintf("%s stays desired: lattice goes on trying.", name))
	if f.hint == "" {
		f.hint = fmt.Sprintf("'%[1]s logs %[2]s' and '%[1]s status %[2]s' tell more; '%[1]s remove %[2]s' takes it away", program, name)
	} else {
		f.hint += fmt.Sprintf("; '%s remove %s' takes it away", program, name)
	}
}

func (j *judge) leave(program, name string) string {
	return fmt.Sprintf("%[2]s stays desired; look at it with '%[1]s status %[2]s', take it away with '%[1]s remove %[2]s'.", program, name)
}

// waiting says of the first instances that are not as they shall be what holds
// each back.
func waiting(s app.Status, now time.Time) []string {
	const most = 5
	var lines []string
	for _, in := range s.Instances {
		if in.Stray || in.State == app.Running && !in.Unready && wanted(in, s.App) && inForce(in.Revision, s.App) {
			continue
		}
		line := fmt.Sprintf("%s/%d %s", s.App.Name, in.Index, stateField(in).text)
		if !in.Stopping && !inForce(in.Revision, s.App) {
			line += fmt.Sprintf(" at revision %d", in.Revision)
		}
		if in.Cell != "" {
			line += " on " + in.Cell
		}
		if !in.Since.IsZero() {
			line += " for " + ageText(now.Sub(in.Since))
		}
		if r := reasonText(in, now); r != "" {
			line += ": " + r
		}
		lines = append(lines, line)
	}
	if len(lines) > most {
		lines = append(lines[:most], fmt.Sprintf("and %d more", len(lines)-most))
	}
	return lines
}
