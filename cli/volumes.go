package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"lattice/api"
	"lattice/app"
)

func newVolumes(st *streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "volumes",
		Aliases: []string{"volume"},
		GroupID: groupApps,
		Short:   "List the named volumes: where they are, how large, and who has them",
		Long: `List the named volumes of apps and tasks. Each index of an app has one of its own,
on the disk of the cell that it stays on: APP/NAME/INDEX. They outlive instances,
updates and the app. An ORPHAN belongs to no app any more; one of the same name gets
it again.`,
		Example: st.name + " volumes\n" + st.name + " volumes -o json\n" + st.name + " volumes remove redis/data/0",
		Args:    args(0, 0, ""),
	}
	cmd.RunE = st.showVolumes(formatFlag(cmd))
	list := &cobra.Command{Use: "list", Short: "List the named volumes", Example: st.name + " volumes list", Args: args(0, 0, "")}
	list.RunE = st.showVolumes(formatFlag(list))
	cmd.AddCommand(list, newVolumesRemove(st))
	return cmd
}

func (st *streams) showVolumes(out *format) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, _ []string) error {
		c, err := client()
		if err != nil {
			return err
		}
		all, err := c.Volumes(cmd.Context())
		if err != nil {
			return fmt.Errorf("list the volumes: %w", err)
		}
		name := func(v app.VolumeStatus) string { return v.VolumeKey.String() }
		return list(st, *out, all, name, volumesTable, fmt.Sprintf("No volumes. An app gets one with '%s create APP IMAGE --volume NAME:/PATH'.", st.name))
	}
}

func volumesTable(all []app.VolumeStatus) *table {
	var t table
	t.head("Volume", "State", "Cell", "Size", "ID")
	for _, v := range all {
		size, cell := "–", v.Cell
		if v.Bytes > 0 {
			size = sizeText(v.Bytes)
		}
		if v.Away {
			cell += " (gone)"
		}
		t.row(field{v.VolumeKey.String(), bold}, volumeState(v.State), cell, size, v.ID)
	}
	return &t
}

func volumeState(s app.VolumeState) field {
	switch s {
	case app.VolumeInUse:
		return field{string(s), green}
	case app.VolumeLost:
		return field{string(s), red}
	case app.VolumeKept:
		return field{string(s), plain}
	}
	return field{string(s), yellow}
}

func newVolumesRemove(st *streams) *cobra.Command {
	var force bool
	cell := ""
	cmd := &cobra.Command{
		Use:     "remove VOLUME…",
		Aliases: []string{"rm", "delete"},
		Short:   "Delete volumes with all that is in them",
		Long: `Delete volumes with all that is in them. VOLUME is APP/NAME/INDEX or an ID as
'volumes' shows them, APP/NAME for those of all indices, or APP for all of an app. A
volume that an instance has is not deleted: stop the app or scale it down first. One
on a cell that is gone is given up, and deleted when the cell is back.`,
		Example: st.name + " volumes remove redis/data/0\n" + st.name + " volumes remove redis --force\n" +
			st.name + " volumes remove redis/data/0 --cell cell-2",
		Args: args(1, -1, "at least one VOLUME"),
	}
	cmd.Flags().BoolVarP(&force, "force", "f", false, "don't ask")
	cmd.Flags().StringVar(&cell, "cell", "", "only those on `CELL`")
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		c, err := client()
		if err != nil {
			return err
		}
		all, err := c.Volumes(cmd.Context())
		if err != nil {
			return fmt.Errorf("look for the volumes: %w", err)
		}
		chosen, err := chosenVolumes(all, names, cell)
		if err != nil {
			return err
		}
		if err := st.agreeToDelete(chosen, force); err != nil {
			return err
		}
		return st.removeVolumes(cmd, c, chosen)
	}
	return cmd
}

func (st *streams) removeVolumes(cmd *cobra.Command, c *api.Client, chosen []app.VolumeStatus) error {
	b := batch{st: st, done: "removed"}
	for _, v := range chosen {
		key := v.VolumeKey.String()
		b.each([]string{key}, func(string) error {
			if err := c.RemoveVolume(cmd.Context(), v.ID); err != nil {
				return fmt.Errorf("remove %s: %w", key, err)
			}
			when := "deletes it now."
			if v.Away {
				when = "is gone, and deletes it when it is back."
			}
			st.did(key, "%s removed: cell %s %s", key, v.Cell, when)
			return nil
		})
	}
	return b.outcome(len(chosen))
}

// chosenVolumes returns the volumes that are meant by names.
func chosenVolumes(all []app.VolumeStatus, names []string, cell string) ([]app.VolumeStatus, error) {
	var chosen []app.VolumeStatus
	for _, name := range names {
		matches := func(v app.VolumeStatus) bool {
			key := v.VolumeKey.String()
			return (cell == "" || v.Cell == cell) && (v.ID == name || key == name || strings.HasPrefix(key, strings.TrimSuffix(name, "/")+"/"))
		}
		var found []app.VolumeStatus
		for _, v := range all {
			if matches(v) && !slices.Contains(chosen, v) {
				found = append(found, v)
			}
		}
		if len(found) == 0 {
			return nil, fmt.Errorf("volume %q %w: 'ltc volumes' lists them", name, app.ErrNotFound)
		}
		if i := slices.IndexFunc(found, func(v app.VolumeStatus) bool { return v.State == app.VolumeSpare }); i >= 0 && len(found) > 1 && cell == "" {
			return nil, fail(exitSyntax, fmt.Errorf("there are two of %s, on %s and another cell: say which with --cell, or by its ID", found[i].VolumeKey, found[i].Cell))
		}
		chosen = append(chosen, found...)
	}
	return chosen, nil
}

// agreeToDelete returns an error unless the user agrees to delete volumes.
func (st *streams) agreeToDelete(chosen []app.VolumeStatus, force bool) error {
	if force {
		return nil
	}
	var texts []string
	for _, v := range chosen {
		texts = append(texts, fmt.Sprintf("%s on %s (%s)", v.VolumeKey, v.Cell, sizeText(v.Bytes)))
	}
	what := countText(len(chosen), "volume") + " with all that is in them: " + strings.Join(texts, ", ")
	if len(chosen) == 1 {
		what = "the volume " + texts[0] + " with all that is in it"
	}
	if !st.asks() {
		return &failure{code: exitSyntax, err: errors.New("that would delete " + what), hint: "agree to it with --force"}
	}
	if !st.confirm("Delete " + what + "?") {
		return fail(exitCommand, errors.New("nothing was deleted"))
	}
	return nil
}

// volumeLines are volumes as they are typed.
func volumeLines(all []app.Volume) []string {
	lines := make([]string, len(all))
	for i, v := range all {
		lines[i] = v.String()
	}
	return lines
}
