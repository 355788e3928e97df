package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"lattice/app"
)

func newList(st *streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		GroupID: groupSee,
		Short:   "List the apps",
		Args:    args(0, 0, ""),
	}
	out := formatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		b, err := connect()
		if err != nil {
			return err
		}
		apps, err := b.Apps(cmd.Context())
		if err != nil {
			return fmt.Errorf("list the apps: %w", err)
		}
		if *out != asTable {
			return out.encode(st.out, hideAll(apps))
		}
		if len(apps) == 0 {
			st.note("No apps. Create one: %s create hello lattice/hello", st.name)
			return nil
		}
		listTable(apps).write(st.out)
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

// instancesField is running/desired: green when equal, red when none runs.
func instancesField(s app.Status) field {
	up, want := running(s), s.App.Instances
	f := field{fmt.Sprintf("%d/%d", up, want), yellow}
	switch {
	case up == want:
		f.as = green
	case up == 0:
		f.as = red
	}
	return f
}

// running returns how many of the wanted instances run.
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
	return !in.Stopping && !in.Stray && in.Index < a.Instances
}

// hideAll returns apps as they may be printed where others look on.
func hideAll(apps []app.Status) []app.Status {
	hidden := make([]app.Status, len(apps)) // never null in JSON
	for i, s := range apps {
		hidden[i] = hideEnv(s)
	}
	return hidden
}
