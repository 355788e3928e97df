package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"lattice/app"
)

func newList(st *streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		GroupID: groupSee,
		Short:   "List the apps",
		Example: st.name + " list\n" + st.name + " list -q\n" + st.name + " list --strays",
		Args:    args(0, 0, ""),
	}
	strays := cmd.Flags().Bool("strays", false, "list instances that run though the brain doesn't know them")
	out := formatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		b, err := connect()
		if err != nil {
			return err
		}
		if *strays {
			return listStrays(cmd.Context(), st, b, *out)
		}
		apps, err := b.Apps(cmd.Context())
		if err != nil {
			return fmt.Errorf("list the apps: %w", err)
		}
		if *out != asTable {
			return out.encode(st.out, hideAll(apps))
		}
		if st.quiet {
			return list(st, *out, apps, func(s app.Status) string { return s.App.Name }, listTable, "")
		}
		if len(apps) == 0 {
			st.note("No apps. Create one: %s create hello lattice/hello", st.name)
		} else {
			listTable(apps).write(st.out)
		}
		if strays, err := b.Strays(cmd.Context()); err == nil && len(strays) > 0 { // the list is worth more than this remark
			st.warn("there are strays, %s that the brain doesn't know: '%s list --strays' shows them", instancesText(len(strays)), st.name)
		}
		return nil
	}
	return cmd
}

func listTable(apps []app.Status) *table {
	var t table
	t.head("App", "Instances", "Memory", "Disk", "Image", "Routes")
	for _, s := range apps {
		t.row(field{s.App.Name, bold}, instancesField(s), limitText(s.App.MemoryMB), limitText(s.App.DiskMB),
			s.App.Image, field{strings.Join(s.URLs, ", "), cyan})
	}
	return &t
}

func listStrays(ctx context.Context, st *streams, b brain, out format) error {
	strays, err := b.Strays(ctx)
	if err != nil {
		return fmt.Errorf("list the strays: %w", err)
	}
	if out != asTable {
		return out.encode(st.out, append([]app.Instance{}, strays...))
	}
	if len(strays) == 0 {
		st.note("No strays: all that runs is known.")
		return nil
	}
	strayTable(strays).write(st.out)
	st.note("\n'%[1]s adopt' takes them under management, '%[1]s adopt --discard' stops them.", st.name)
	return nil
}

func strayTable(strays []app.Instance) *table {
	now := time.Now()
	var t table
	t.head("Cell", "App", "Instance", "State", "Memory", "Uptime")
	for _, in := range strays {
		known := in
		known.Stray = false // all of them are
		t.row(in.Cell, field{in.App, bold}, in.Index, stateField(known), memoryText(in), uptime(in, now))
	}
	return &t
}

// instancesField is running/desired: green when equal, red when none runs.
func instancesField(s app.Status) field {
	up, want := running(s), s.App.Wanted()
	switch {
	case s.App.Stopped:
		return field{"stopped", gray}
	case s.App.Held != "":
		return field{"held back", yellow}
	}
	f := field{fmt.Sprintf("%d/%d", up, want), yellow}
	switch {
	case up == want:
		f.as = green
	case up == 0:
		f.as = red
	}
	return f
}

// running returns how many of the wanted instances run. Two of one index, of
// which one takes the other's place, count once.
func running(s app.Status) int {
	up := map[int]bool{}
	for _, in := range s.Instances {
		if in.State == app.Running && wanted(in, s.App) {
			up[in.Index] = true
		}
	}
	return len(up)
}

// wanted reports whether in counts for what a asks for, as against one on its
// way out or one the brain doesn't know.
func wanted(in app.Instance, a app.App) bool {
	return !in.Stopping && !in.Draining && !in.Stray && in.Index < a.Wanted()
}

// hideAll returns apps as they may be printed where others look on.
func hideAll(apps []app.Status) []app.Status {
	hidden := make([]app.Status, len(apps)) // never null in JSON
	for i, s := range apps {
		hidden[i] = hideEnv(s)
	}
	return hidden
}
