package cli

import (
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"lattice/internal/config"
)

func newConfig(st *streams) *cobra.Command {
	cmd := newConfigOf(st, "up", "a brain and cell in one", config.AddUpFlags, upSettings)
	cmd.Use, cmd.GroupID, cmd.Hidden = "config", groupServe, false
	cmd.Short = "Show the settings that 'up', 'brain' or 'cell' would run with"
	cmd.Long = `Show the settings that 'up', 'brain' or 'cell' would run with, and where each
comes from: a flag, the environment (LATTICE_…), a file, or the default, of which
the first wins. Give it the flags and the environment that they get. Secrets are
masked. Without a name it shows those of 'up'.`
	cmd.Example = st.name + " config\n" + st.name + " config brain --config lattice.yaml\n" + "LATTICE_ZONE=z2 " + st.name + " config cell -o json"
	cmd.AddCommand(
		newConfigOf(st, "up", "a brain and cell in one", config.AddUpFlags, upSettings),
		newConfigOf(st, "brain", "a brain", config.AddBrainFlags, brainSettings),
		newConfigOf(st, "cell", "a cell", config.AddCellFlags, cellSettings),
	)
	return cmd
}

func upSettings(fs *pflag.FlagSet, file string) ([]config.Setting, error) {
	c, err := config.Up(fs, file)
	return c.Brain.Settings, err
}

func brainSettings(fs *pflag.FlagSet, file string) ([]config.Setting, error) {
	c, err := config.Brain(fs, file)
	return c.Settings, err
}

func cellSettings(fs *pflag.FlagSet, file string) ([]config.Setting, error) {
	c, err := config.Cell(fs, file)
	return c.Settings, err
}

// newConfigOf shows the settings of one way to run. Those that are wrong are
// shown like the others, and what is wrong with them is said after that.
func newConfigOf(st *streams, use, what string, flags func(*pflag.FlagSet), read func(*pflag.FlagSet, string) ([]config.Setting, error)) *cobra.Command {
	var file string
	cmd := &cobra.Command{Use: use, Short: "Show the settings of " + what, Args: onlyCommands, Hidden: true} // in the list of all commands
	flags(cmd.Flags())
	cmd.Flags().StringVar(&file, "config", "", "`FILE` with the same settings as the flags (YAML, TOML or JSON)")
	out := formatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		settings, wrong := read(cmd.Flags(), file)
		if *out != asTable {
			if err := out.encode(st.out, append([]config.Setting{}, settings...)); err != nil {
				return err
			}
			return wrong
		}
		var t table
		t.head("Setting", "Value", "From")
		for _, s := range settings {
			value := field{s.Value, plain}
			if s.Value == "" && s.Auto != "" {
				value = field{"(" + s.Auto + ")", plain}
			}
			t.row(field{s.Key, bold}, field{dash(value.text), value.as}, s.Origin)
		}
		if len(settings) > 0 {
			t.write(st.out)
		}
		return wrong
	}
	return cmd
}
