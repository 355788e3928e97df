package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"lattice/api"
	"lattice/app"
	"lattice/internal/story"
)

// storyLines is how many log lines a story is looked for in.
const storyLines = 2000

func newExplain(st *streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "explain APP[/INDEX] | TASK | CELL",
		Aliases: []string{"why"},
		GroupID: groupHelp,
		Short:   "Tell why an app, a task or a cell is as it is, and what to do",
		Long: `Tell the story of an app, a task or a cell in order: what was wanted, where it
was placed and why, what happened then, what holds it back now, and what to type
next. Of an app's instances it takes the one with the most trouble, unless INDEX
names one.`,
		Example: st.name + " explain web\n" + st.name + " explain web/2\n" + st.name + " explain cell-1 -o json",
		Args:    args(1, 1, "the name of an app, a task or a cell"),
	}
	out := formatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		b, err := client()
		if err != nil {
			return err
		}
		s, err := (&teller{b, story.Facts{Program: st.name, Now: time.Now()}}).tell(cmd.Context(), args[0])
		if err != nil {
			return fmt.Errorf("explain %s: %w", args[0], err)
		}
		if *out != asTable {
			return out.encode(st.out, s)
		}
		writeStory(st.out, s)
		return nil
	}
	return cmd
}

// A teller gathers what a story is made of.
type teller struct {
	brain *api.Client
	facts story.Facts
}

// tell tells of what has the name: an app before a cell before a task.
func (t *teller) tell(ctx context.Context, name string) (story.Story, error) {
	name, index, err := splitIndex(name)
	if err != nil {
		return story.Story{}, err
	}
	cells, err := t.brain.Cells(ctx)
	if err != nil {
		return story.Story{}, err
	}
	for _, c := range cells {
		t.facts.Cells = append(t.facts.Cells, c.Cell)
	}
	st, err := t.brain.App(ctx, name)
	if err == nil {
		return t.app(ctx, st, index)
	}
	if !errors.Is(err, app.ErrNotFound) {
		return story.Story{}, err
	}
	if s, err := t.cell(ctx, name); !errors.Is(err, app.ErrNotFound) {
		return s, err
	}
	task, err := t.brain.Task(ctx, name)
	if errors.Is(err, app.ErrNotFound) {
		return story.Story{}, &failure{code: exitCommand, err: fmt.Errorf("there is no app, task or cell of that name"), hint: "'list', 'tasks' and 'cells' show what there is"}
	}
	if err != nil {
		return story.Story{}, err
	}
	return t.task(ctx, task)
}

// splitIndex takes NAME/INDEX apart.
func splitIndex(text string) (name string, index int, err error) {
	name, number, ok := strings.Cut(text, "/")
	if !ok {
		return name, story.Any, nil
	}
	if index, err = strconv.Atoi(number); err != nil || index < 0 {
		return "", 0, fail(exitSyntax, fmt.Errorf("%q is no number of an instance: write it as web/0", number))
	}
	return name, index, nil
}

func (t *teller) app(ctx context.Context, st app.Status, index int) (story.Story, error) {
	if index != story.Any && !slices.ContainsFunc(st.Instances, func(in app.Instance) bool { return in.Index == index }) {
		return story.Story{}, fail(exitCommand, fmt.Errorf("%s has no instance %d", st.App.Name, index))
	}
	if err := t.gather(ctx, st.App.Name, app.EventQuery{App: st.App.Name}, app.EventQuery{Kind: "cell"}); err != nil {
		return story.Story{}, err
	}
	return story.OfApp(t.facts, st, index), nil
}

func (t *teller) task(ctx context.Context, task app.Task) (story.Story, error) {
	if err := t.gather(ctx, task.Name, app.EventQuery{Task: task.Name}); err != nil {
		return story.Story{}, err
	}
	return story.OfTask(t.facts, task), nil
}

// cell is app.ErrNotFound when nobody has ever heard of a cell of that name.
func (t *teller) cell(ctx context.Context, name string) (story.Story, error) {
	if err := t.gather(ctx, "", app.EventQuery{Cell: name}); err != nil {
		return story.Story{}, err
	}
	i := slices.IndexFunc(t.facts.Cells, func(c app.Cell) bool { return c.ID == name })
	if i < 0 && len(t.facts.Events) == 0 {
		return story.Story{}, app.ErrNotFound
	}
	c := app.Cell{ID: name}
	if i >= 0 {
		c = t.facts.Cells[i]
	}
	apps, err := t.brain.Apps(ctx)
	if err != nil {
		return story.Story{}, err
	}
	return story.OfCell(t.facts, c, apps), nil
}

// gather fetches events, and the log of an app or task if there is one.
func (t *teller) gather(ctx context.Context, logOf string, queries ...app.EventQuery) error {
	t.facts.Events, t.facts.Lines = nil, nil
	for _, q := range queries {
		q.Lines = allLines
		err := t.brain.Events(ctx, q, false, func(e app.Event) error {
			if e.Kind != app.EventsLost {
				t.facts.Events = append(t.facts.Events, e)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	slices.SortFunc(t.facts.Events, func(a, b app.Event) int { return cmp.Compare(a.Seq, b.Seq) })
	if logOf == "" {
		return nil
	}
	err := t.brain.Logs(ctx, logOf, api.LogOptions{Lines: storyLines}, func(l app.LogLine) error {
		t.facts.Lines = append(t.facts.Lines, l)
		return nil
	})
	if errors.Is(err, app.ErrNotFound) {
		return nil // it has printed nothing yet
	}
	return err
}

// writeStory prints a story for people.
func writeStory(w *screen, s story.Story) {
	mark := w.paint(red, "✗")
	if s.Well {
		mark = w.paint(green, "✓")
	}
	fmt.Fprintf(w, "%s  %s %s\n", w.paint(bold, s.About), mark, w.clean(s.Verdict))
	if len(s.Steps) > 0 {
		fmt.Fprintf(w, "\n%s\n", w.paint(bold, "WHAT HAPPENED"))
	}
	for _, step := range s.Steps {
		as := map[story.Tone]style{story.Good: green, story.Bad: red}[step.Tone]
		fmt.Fprintf(w, "  %s  %s\n", w.paint(cyan, step.At.Local().Format("01/02 15:04:05")), w.paint(as, w.clean(step.What)))
		for _, l := range step.Lines {
			fmt.Fprintf(w, "    %s %s\n", w.paint(gray, "│"), w.clean(l))
		}
	}
	if len(s.Now) > 0 {
		fmt.Fprintf(w, "\n%s\n", w.paint(bold, "NOW"))
	}
	for _, l := range s.Now {
		fmt.Fprintf(w, "  %s\n", w.clean(l))
	}
	if len(s.Next) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s\n", w.paint(bold, "WHAT TO DO"))
	for _, a := range s.Next {
		fmt.Fprintf(w, "  %s\n", w.paint(cyan, a.Type))
		io.WriteString(w, "      "+a.Why+"\n")
	}
}
