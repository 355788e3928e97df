package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"lattice/api"
	"lattice/app"
	"lattice/internal/config"
	"lattice/internal/node"
)

// serverCommands returns the commands that serve: up, brain, cell, down, and
// what goes with them.
func serverCommands(st *streams) []*cobra.Command {
	return []*cobra.Command{newUp(st), newBrain(st), newCell(st), newDown(st), newConfig(st), newInstall(st), newUninstall(st), newBackup(st), newRestore(st)}
}

// serveFlags are common to the commands that serve.
type serveFlags struct {
	file   string
	detach bool
}

func (f *serveFlags) register(fs *pflag.FlagSet) {
	fs.StringVar(&f.file, "config", "", "`FILE` with the same settings as the flags (YAML, TOML or JSON)")
	fs.BoolVarP(&f.detach, "detach", "d", false, "go on in the background as soon as it is ready")
}

func newUp(st *streams) *cobra.Command {
	var f serveFlags
	var sample bool
	cmd := &cobra.Command{
		Use: "up", GroupID: groupServe,
		Short: "Run brain and cell on this machine",
		Long: `Run brain and cell on this machine, in one process.

Containers outlive the process: after a restart it takes them over. 'lattice
down' stops everything. More machines join with 'lattice cell'.`,
		Example: st.name + " up --detach\n" + st.name + " up --domain apps.example.com --http :8080",
		Args:    args(0, 0, ""),
	}
	config.AddUpFlags(cmd.Flags())
	f.register(cmd.Flags())
	cmd.Flags().BoolVar(&sample, "sample", false, "then run the sample app, and ask it for an answer")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := config.Up(cmd.Flags(), f.file)
		if err != nil {
			return err
		}
		if f.detach {
			if err := st.detach(cmd.Context(), cfg.Brain.Common, "--detach", "-d", "--sample"); err != nil || !sample {
				return err
			}
			return st.sample(cmd.Context())
		}
		return node.Up(cmd.Context(), cfg, currentVersion(), logger(cfg.Brain.Common), st.ready)
	}
	return cmd
}

func newBrain(st *streams) *cobra.Command {
	var f serveFlags
	cmd := &cobra.Command{
		Use: "brain", GroupID: groupServe,
		Short:   "Run a brain: it decides, routes and gathers logs, and runs no containers",
		Example: st.name + " brain --detach --domain apps.example.com",
		Args:    args(0, 0, ""),
	}
	config.AddBrainFlags(cmd.Flags())
	f.register(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := config.Brain(cmd.Flags(), f.file)
		if err != nil {
			return err
		}
		if f.detach {
			return st.detach(cmd.Context(), cfg.Common, "--detach", "-d")
		}
		return node.Brain(cmd.Context(), cfg, currentVersion(), logger(cfg.Common), st.ready)
	}
	return cmd
}

func newCell(st *streams) *cobra.Command {
	var f serveFlags
	cmd := &cobra.Command{
		Use: "cell", GroupID: groupServe,
		Short: "Run a cell: it runs containers for a brain elsewhere",
		Long: `Run a cell: it runs containers for a brain elsewhere.

It joins with the brain's address and a join token that '` + st.name + ` token' prints on
the brain, and gets a certificate of its own for it. Later starts need neither.`,
		Example: st.name + " cell --detach --join 10.0.0.2 --token-file join-token",
		Args:    onlyCommands,
	}
	cmd.AddCommand(cellCommands(st)...)
	config.AddCellFlags(cmd.Flags())
	f.register(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := config.Cell(cmd.Flags(), f.file)
		if err != nil {
			return err
		}
		if f.detach {
			return st.detach(cmd.Context(), cfg.Common, "--detach", "-d")
		}
		return joinFailure(node.Cell(cmd.Context(), cfg, currentVersion(), logger(cfg.Common), st.ready))
	}
	return cmd
}

// joinFailure says what to do about a brain that doesn't let the cell in.
func joinFailure(err error) error {
	switch {
	case errors.Is(err, app.ErrUnauthorized):
		return &failure{code: exitBadTarget, err: err, hint: "print a fresh token with 'lattice token' on the brain and give it with --token-file FILE"}
	case errors.Is(err, api.ErrUntrusted):
		return &failure{code: exitBadTarget, err: err, hint: "is --join the address of the brain that printed the token? If so, print a fresh one there with 'lattice token'"}
	}
	return err
}

// logger returns what the process logs with, to standard error.
func logger(c config.Common) *slog.Logger {
	opts := &slog.HandlerOptions{Level: c.LogLevel}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(os.Stderr, opts))
	}
	return slog.New(slog.NewTextHandler(os.Stderr, opts))
}

// ready points the client at the brain that has come up and says what to do next.
// It says that the node is ready when whoever waits for that can go on at once.
func (st *streams) ready(r node.Ready) {
	var unset error
	if r.API != "" && !r.Service {
		unset = saveTarget(defaultTarget, target{URL: r.API, Token: r.Token, CA: r.CA, Domain: r.Domain})
	}
	fmt.Fprintf(st.out, "%s\n", st.out.paint(green, "lattice "+r.Roles+" is ready"))
	if r.Service { // install has said the rest
		if r.Note != "" {
			st.note("%s", r.Note)
		}
		return
	}
	if unset != nil {
		st.warn("the client's target is not set: %v", unset)
	}
	var t table
	if r.API != "" {
		t.row("  API", r.API)
		t.row("  apps", appsURL(r.RouterURL))
	}
	t.row("  data", r.DataDir)
	if r.API != "" {
		t.row("  more cells", fmt.Sprintf("%s token | ssh HOST lattice cell --detach --join %s --token-file /dev/stdin", st.name, r.Address))
	}
	t.write(st.out)
	if r.Note != "" {
		st.note("%s", r.Note)
	}
	if r.API != "" {
		st.note("\nNext: %s create hello lattice/hello", st.name)
	}
	tellParent()
}

// appsURL puts NAME in front of the domain.
func appsURL(routerURL string) string {
	const scheme = "http://"
	return scheme + "NAME." + routerURL[len(scheme):]
}

func newDown(st *streams) *cobra.Command {
	var file string
	var deleteData bool
	cmd := &cobra.Command{
		Use: "down", GroupID: groupServe,
		Short: "Stop lattice on this machine, with all its containers",
		Long: `Stop lattice on this machine and remove what it made: containers, mounts,
network. What apps there shall be stays known, so that '` + st.name + ` up' brings them back,
unless --delete-data is given.`,
		Example: st.name + " down\n" + st.name + " down --delete-data",
		Args:    args(0, 0, ""),
	}
	config.AddUpFlags(cmd.Flags())
	cmd.Flags().StringVar(&file, "config", "", "`FILE` it was started with")
	cmd.Flags().BoolVar(&deleteData, "delete-data", false, "delete apps, logs, images, certificates and tokens as well")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := config.Up(cmd.Flags(), file)
		if err != nil {
			return err
		}
		common := cfg.Brain.Common
		common.LogLevel = max(common.LogLevel, slog.LevelWarn)
		if err := node.Down(context.WithoutCancel(cmd.Context()), common, deleteData, logger(common), st.note); err != nil {
			return err
		}
		st.note("lattice is down")
		return nil
	}
	return cmd
}
