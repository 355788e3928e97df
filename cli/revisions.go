package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"lattice/app"
)

func newRevisions(st *streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "revisions APP",
		Aliases: []string{"rev"},
		GroupID: groupSee,
		Short:   "List what an app was after each change",
		Long: `List what an app was after each change that needed new containers, and what
changed each time. 'rollback' goes back to one of them.`,
		Example: st.name + " revisions web",
		Args:    args(1, 1, "APP"),
	}
	out := formatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		b, err := connect()
		if err != nil {
			return err
		}
		s, err := b.App(cmd.Context(), args[0])
		if err != nil {
			return fmt.Errorf("revisions of %s: %w", args[0], err)
		}
		revisions, err := b.Revisions(cmd.Context(), args[0])
		if err != nil {
			return fmt.Errorf("revisions of %s: %w", args[0], err)
		}
		list := history(revisions, s.App)
		if *out != asTable {
			return out.encode(st.out, list)
		}
		historyTable(list).write(st.out)
		return nil
	}
	return cmd
}

// A pastRevision is a revision with what was changed to get to it.
type pastRevision struct {
	app.Revision
	State   string       `json:"state"` // how the app is to it; empty: nothing special
	Changes []difference `json:"changes"`
}

// history compares each revision, of which the newest is first, with the one
// before it. It shows no value of the environment.
func history(revisions []app.Revision, now app.App) []pastRevision {
	list := make([]pastRevision, len(revisions)) // never null in JSON
	for i, r := range revisions {
		p := pastRevision{Revision: r, State: revisionState(r.App.Revision, now), Changes: []difference{}}
		if i+1 < len(revisions) {
			p.Changes = append(p.Changes, differences(onlyContainer(revisions[i+1].App), onlyContainer(r.App))...)
		}
		p.App = hideEnv(app.Status{App: r.App}).App
		list[i] = p
	}
	return list
}

// onlyContainer returns a without what makes no revision.
func onlyContainer(a app.App) app.App {
	a = a.WithDefaults()
	a.Instances, a.Routes, a.TCPRoutes, a.NoRoutes, a.StopGrace = 0, nil, nil, false, 0
	return a
}

// revisionState says what a revision is to the app.
func revisionState(n uint64, now app.App) string {
	var states []string
	if n == now.Revision {
		states = append(states, "current")
	}
	if r := now.Rollout; r != nil && r.To == n {
		switch r.State {
		case app.RolloutRunning:
			states = append(states, "rolling out")
		case app.RolloutPaused:
			states = append(states, "canary")
		case app.RolloutFailed:
			states = append(states, "failed")
		}
	}
	return strings.Join(states, ", ")
}

func historyTable(list []pastRevision) *table {
	var t table
	t.head("Revision", "State", "When", "Cause", "Image", "Changes")
	for _, p := range list {
		state := field{dash(p.State), green}
		if !strings.HasPrefix(p.State, "current") {
			state.as = yellow
		}
		if p.State == "" {
			state.as = plain
		}
		t.row(p.App.Revision, state, p.At.Local().Format(time.DateTime), dash(p.Cause), p.App.Image, differencesText(p.Changes))
	}
	return &t
}
