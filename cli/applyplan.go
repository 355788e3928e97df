package cli

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"lattice/app"
	"lattice/internal/manifest"
)

// An action is what becomes of an app.
type action string

const (
	actCreate action = "create"
	actUpdate action = "update"
	actNone   action = "keep"
	actRemove action = "remove"
)

// An applyStep is what is to be done with one app.
type applyStep struct {
	App     string       `json:"app"`
	Action  action       `json:"action"`
	Changes []difference `json:"changes,omitempty"` // of actUpdate

	want  app.App  // as it shall be, with the revision that was seen
	needs []string // apps that must be healthy first
	made  app.App  // as the brain has stored it
}

// planApply compares what files describe with the apps there are. It is pure.
func planApply(d described, apps []app.Status, prune bool, env map[string]string) ([]applyStep, error) {
	live := map[string]app.App{}
	for _, s := range apps {
		if s.App.Image != "" { // else it was removed and is on its way out
			live[s.App.Name] = s.App.WithDefaults()
		}
	}
	var steps []applyStep
	var problems []string
	described := map[string]bool{}
	for _, spec := range d.specs {
		described[spec.App.Name] = true
		s, err := planOne(spec, live, d.set, env)
		if err != nil {
			problems = append(problems, err.Error())
			continue
		}
		steps = append(steps, s)
	}
	if len(problems) > 0 {
		return nil, fail(exitSyntax, fmt.Errorf("%s", strings.Join(problems, "\n")))
	}
	for _, name := range slices.Sorted(maps.Keys(live)) {
		if prune && d.set != "" && live[name].Set == d.set && !described[name] {
			steps = append(steps, applyStep{App: name, Action: actRemove})
		}
	}
	return steps, nil
}

// planOne says what is to be done with one app.
func planOne(spec manifest.Spec, live map[string]app.App, set string, env map[string]string) (applyStep, error) {
	want := spec.App.WithDefaults() // a copy
	have, there := live[want.Name]
	if there && have.Set != "" && set != "" && have.Set != set {
		return applyStep{}, fmt.Errorf("%s belongs to the set %s: apply it with --set %s, or give one of the two another name", want.Name, have.Set, have.Set)
	}
	if err := fillUnset(&want, spec.Unset, have, env); err != nil {
		return applyStep{}, err
	}
	s := applyStep{App: want.Name, Action: actCreate, needs: spec.Needs}
	want.Set = set
	if there {
		want.Set, want.Revision = have.Set, have.Revision
		if !spec.Scaled {
			want.Instances = have.Instances
		}
		s.Action = actNone
		if s.Changes = differences(have, want); len(s.Changes) > 0 {
			s.Action = actUpdate
		}
	}
	s.want = want
	return s, nil
}

// fillUnset gives the variables that a file names without a value the one that
// the app has, or the caller.
func fillUnset(want *app.App, unset []string, have app.App, env map[string]string) error {
	for _, name := range unset {
		value, ok := have.Env[name]
		if !ok {
			value, ok = env[name]
		}
		if !ok {
			return fmt.Errorf("%s: the variable %s has no value: set it in your environment, or write it into the file", want.Name, name)
		}
		if want.Env == nil {
			want.Env = map[string]string{}
		}
		want.Env[name] = value
	}
	return nil
}

// done says what was done, or with soon what has only begun.
func (s applyStep) done(soon bool) string {
	switch s.Action {
	case actCreate:
		return "created"
	case actUpdate:
		if s.made.Revision != s.want.Revision {
			return fmt.Sprintf("updated: revision %d", s.made.Revision)
		}
		return "updated"
	}
	return "unchanged"
}

// write tells what would be done.
func (s applyStep) write(w *screen) {
	switch s.Action {
	case actCreate:
		fmt.Fprintf(w, "%s would be %s: %s of %s\n", w.paint(bold, s.App), w.paint(green, "created"), instancesText(s.want.Instances), s.want.Image)
	case actUpdate:
		fmt.Fprintf(w, "%s would %s:\n", w.paint(bold, s.App), w.paint(yellow, "change"))
		differencesTable(s.Changes).write(w)
	case actRemove:
		fmt.Fprintf(w, "%s would be %s\n", w.paint(bold, s.App), w.paint(red, "removed"))
	default:
		fmt.Fprintf(w, "%s is like that already\n", w.paint(bold, s.App))
	}
}
