package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"lattice/app"
	"lattice/internal/config"
	"lattice/internal/install"
	"lattice/internal/node"
)

func newInstall(st *streams) *cobra.Command {
	cmd := &cobra.Command{
		Use: "install", GroupID: groupServe,
		Short: "Make lattice a service of this machine, or upgrade it",
		Long: `Make lattice a service of this machine that systemd starts: the program in
` + install.Binary + `, a unit with hardening, and the settings in
` + install.Config + `. Flags that you give are kept there.

The same command again changes nothing. Run from a newer binary it upgrades:
apps go on, and no request fails. '` + st.name + ` uninstall' takes all away.`,
		Example: "sudo ./lattice install up --domain apps.example.com\n" +
			"sudo ./lattice install brain --firewall --nodes 10.0.0.0/24\n" +
			"sudo ./lattice install cell --join 10.0.0.2 --token-file join-token\n" +
			"./lattice install up --dry-run",
		Args: onlyCommands,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		newInstallOf(st, install.RoleBrain, "Make this machine a brain", config.AddBrainFlags),
		newInstallOf(st, install.RoleCell, "Make this machine a cell of a brain elsewhere", config.AddCellFlags),
		newInstallOf(st, install.RoleUp, "Make this machine brain and cell", config.AddUpFlags),
	)
	return cmd
}

// installFlags are what the settings don't say.
type installFlags struct {
	dryRun   bool
	firewall bool
	open     []int
	nodes    []string
}

func (f *installFlags) register(fs *pflag.FlagSet) {
	fs.BoolVar(&f.dryRun, "dry-run", false, "print the files that would be written, and change nothing")
	fs.BoolVar(&f.firewall, "firewall", false, "close all ports but those that lattice needs, with an nftables table of its own")
	fs.IntSliceVar(&f.open, "open", []int{22}, "with --firewall: TCP `PORT` that stays open; may be repeated")
	fs.StringSliceVar(&f.nodes, "nodes", nil, "with --firewall: `RANGE` of addresses, such as 10.0.0.0/24, in which the other nodes are, for ports that only they need; may be repeated (default: anywhere)")
}

func newInstallOf(st *streams, role, short string, flags func(*pflag.FlagSet)) *cobra.Command {
	var f installFlags
	cmd := &cobra.Command{Use: role, Short: short, Example: "sudo ./lattice install " + role, Args: args(0, 0, "")}
	flags(cmd.Flags())
	f.register(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		i := installation{st: st, role: role, flags: f}
		if err := i.read(cmd); err != nil {
			return err
		}
		if f.dryRun {
			for _, file := range i.plan.Files() {
				fmt.Fprintf(st.out, "%s\n%s\n", st.out.paint(bold, "# "+file.Path), file.Text)
			}
			return nil
		}
		return joinFailure(i.run(cmd.Context()))
	}
	return cmd
}

// An installation is one run of install.
type installation struct {
	st    *streams
	role  string
	flags installFlags

	brain  config.BrainConfig // not of a cell
	cell   config.CellConfig  // not of a brain
	common config.Common
	plan   install.Plan
}

// read makes the plan from flags and from what the configuration file has.
func (i *installation) read(cmd *cobra.Command) error {
	file := install.Config
	if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
		file = ""
	}
	if i.role == install.RoleCell {
		if err := i.forgetJoin(cmd); err != nil {
			return err
		}
	}
	if err := i.configure(cmd.Flags(), file); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	i.plan = install.Plan{
		Role: i.role, Binary: self, Settings: kept(i.common.Settings), DataDir: i.common.DataDir,
		StopTime: int((90*time.Second + i.evacuation()).Seconds()),
	}
	if i.cell.Join != "" {
		i.plan.Join = &install.Join{Brain: i.cell.Join, Token: string(i.cell.Token)}
	}
	return i.wall()
}

// configure reads the settings of the role.
func (i *installation) configure(flags *pflag.FlagSet, file string) (err error) {
	switch i.role {
	case install.RoleBrain:
		i.brain, err = config.Brain(flags, file)
		i.common = i.brain.Common
	case install.RoleCell:
		i.cell, err = config.Cell(flags, file)
		i.common = i.cell.Common
	default:
		var up config.UpConfig
		up, err = config.Up(flags, file)
		i.brain, i.cell, i.common = up.Brain, up.Cell, up.Brain.Common
	}
	return err
}

// forgetJoin lets a cell that is in its cluster and runs be installed again
// with the command that installed it: its token may be used up by now.
func (i *installation) forgetJoin(cmd *cobra.Command) error {
	if i.flags.dryRun || !install.Active(cmd.Context()) {
		return nil
	}
	m := machineFlags{}
	if f := cmd.Flags().Lookup("data-dir"); f.Changed {
		m.dataDir = f.Value.String()
	}
	cfg, err := m.read() // not as a cell: that would read the token, and standard input only once
	if err != nil {
		return err
	}
	if joined, err := node.Joined(cmd.Context(), cfg.Cell.Common); err != nil || !joined {
		return err
	}
	for _, name := range []string{"join", "token", "token-file"} {
		os.Unsetenv("LATTICE_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_")))
		if err := cmd.Flags().Set(name, ""); err != nil {
			return err
		}
	}
	return nil
}

func (i *installation) evacuation() time.Duration {
	if i.cell.EvacuateOnStop {
		return i.cell.EvacuateTimeout
	}
	return 0
}

// kept returns the settings that somebody chose. What is only needed to join
// is elsewhere.
func kept(all []config.Setting) []install.Pair {
	var pairs []install.Pair
	for _, s := range all {
		if s.Chosen() && !slices.Contains([]string{"join", "token", "token-file"}, s.Key) {
			pairs = append(pairs, install.Pair{Key: s.Key, Value: s.Value})
		}
	}
	return pairs
}

// wall plans the firewall.
func (i *installation) wall() error {
	if !i.flags.firewall {
		return nil
	}
	f := install.Firewall{Open: i.flags.open, Ports: install.Ports{Gossip: portOf(i.common.Gossip), Apps: node.AppPorts()}}
	for _, s := range i.flags.nodes {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return app.Invalid("--nodes %q: write a range of addresses like 10.0.0.0/24", s)
		}
		f.Nodes = append(f.Nodes, p)
	}
	if i.role != install.RoleBrain && i.cell.Layers != config.Off {
		f.Ports.Layers = portOf(i.cell.Layers)
	}
	if i.role != install.RoleCell {
		f.Ports.API = portOf(i.brain.API)
		f.Ports.Router = routerPorts(i.brain.Router)
		f.Ports.SSH = chosenPort(i.brain.SSH, 2222)
	}
	if i.role == install.RoleCell && i.cell.Router != nil {
		f.Ports.Router = routerPorts(*i.cell.Router)
	}
	i.plan.Firewall = &f
	return nil
}

func routerPorts(r config.RouterConfig) []int {
	return append(chosenPort(r.HTTP, 80, 8080), chosenPort(r.HTTPS, 443, 8443)...)
}

// chosenPort returns the port of addr, or the usual ones when nobody chose one.
func chosenPort(addr string, usual ...int) []int {
	switch addr {
	case "":
		return usual
	case config.Off:
		return nil
	}
	return []int{portOf(addr)}
}

func portOf(addr string) int {
	_, port, _ := net.SplitHostPort(addr) // config has checked it
	n, _ := strconv.Atoi(port)
	return n
}

// run installs, and says what there is now.
func (i *installation) run(ctx context.Context) error {
	if err := i.plan.Check(); err != nil {
		return err
	}
	if pid := node.Running(i.common); pid != 0 && !install.Active(ctx) {
		return app.Invalid("lattice runs here already (process %d), started by hand: `lattice down` first; its apps come back with the service", pid)
	}
	changed, err := i.plan.Apply(ctx, i.st.note)
	if err != nil {
		return err
	}
	if i.role == install.RoleCell {
		if err := i.plan.Joined(); err != nil {
			return err
		}
	}
	if !changed {
		i.st.note("nothing to change")
	}
	return i.tell(ctx)
}

// tell points root's client at the brain, and says where everything is.
func (i *installation) tell(ctx context.Context) error {
	what := map[string]string{install.RoleBrain: "brain", install.RoleCell: "cell " + i.cell.ID, install.RoleUp: "brain and cell"}[i.role]
	fmt.Fprintln(i.st.out, i.st.out.paint(green, "lattice "+what+" is installed and runs"))
	var t table
	if i.role != install.RoleCell {
		r, err := node.Offer(i.brain)
		if err != nil {
			return err
		}
		to := target{URL: r.API, Token: r.Token, CA: r.CA, Domain: r.Domain}
		b, err := dial(to)
		if err != nil {
			return err
		}
		info, err := b.Info(ctx)
		if err != nil {
			return fmt.Errorf("ask the brain: %w", err)
		}
		if err := errors.Join(saveTarget(defaultTarget, to), install.SaveAccess(r.Token, r.CA)); err != nil {
			return err
		}
		t.row("  API", r.API)
		t.row("  apps", appsURL(info.RouterURL))
		t.row("  dashboard", r.API+"  ('ltc dashboard' opens it, logged in)")
		t.row("  ltc elsewhere", fmt.Sprintf("ltc target %s --token-file token --ca ca.crt  (both are in %s)", r.API, install.Folder))
		t.row("  more cells", fmt.Sprintf("ltc token | ssh HOST sudo ./lattice install cell --join %s --token-file /dev/stdin", r.Address))
	}
	t.row("  data", i.common.DataDir)
	t.row("  settings", install.Config)
	t.row("  log", "journalctl -u lattice")
	t.write(i.st.out)
	return nil
}
