package cli

import (
	"cmp"
	"errors"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set by -ldflags "-X lattice/cli.version=…".
var version string

// currentVersion returns the version of this binary: the one it was linked
// with, else what the Go tool knows of the source.
func currentVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "development"
}

func newVersion(st *streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "version",
		Aliases: []string{"vr"},
		GroupID: groupHelp,
		Short:   "Show the versions of this program and of the brain",
		Example: st.name + " version",
		Args:    args(0, 0, ""),
	}
	out := formatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		v := struct {
			Client string `json:"client"`
			Server string `json:"server,omitempty"`
		}{Client: currentVersion()}
		b, err := connect()
		if err == nil {
			info, askErr := b.Info(cmd.Context())
			v.Server, err = info.Version, askErr
		}
		if *out != asTable {
			if err := out.encode(st.out, v); err != nil {
				return err
			}
		} else {
			var t table
			t.row("Client:", v.Client)
			t.row("Server:", cmp.Or(v.Server, "not known"))
			t.write(st.out)
		}
		switch {
		case err == nil:
			warnSkew(st, v.Server)
		case errors.Is(err, errNoTarget): // what was asked for is still known
			st.note("No target set.")
			return nil
		}
		return err
	}
	return cmd
}

// warnSkew says so when the brain's version is not this program's.
func warnSkew(st *streams, server string) {
	if client := currentVersion(); client != server {
		st.warn("%s is %s and the brain is %s: '%s sync' gets the brain's", st.name, client, server, st.name)
	}
}
