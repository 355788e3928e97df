package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"lattice/app"
)

// sessionCommands returns the commands that go into containers.
func sessionCommands(st *streams) []*cobra.Command {
	return []*cobra.Command{newSSH(st), newExec(st), newCp(st), newSSHKey(st)}
}

type sshFlags struct {
	tty         ttyFlags
	local       []string
	remote      []string
	nothing     bool
	fingerprint bool
	out         *format
}

func newSSH(st *streams) *cobra.Command {
	var f sshFlags
	cmd := &cobra.Command{
		Use:     "ssh APP|TASK [-- COMMAND…]",
		GroupID: groupSSH,
		Short:   "Open a shell in an instance, run a line there, or forward ports",
		Long: `Open a shell in an instance of an app or in a task, or run a line in its shell, as
the user of the app and within its limits. The exit code is that of what runs:
128+N when signal N ended it, 127 when there is no such program, 255 when the
session broke.

-L listens here and connects inside the instance, -R listens inside the instance
and connects here; both may be repeated and carry many connections at once. With
them and without a command, add -N to open no shell.

Plain ssh, scp, sftp and what builds on them work, too, on the brain's SSH port:
the user is APP/INDEX or APP, the password your token, or 'ssh-key add' a key.
--fingerprint tells by what to know the port.`,
		Example: st.name + " ssh web\n" +
			st.name + " ssh web -i 2 -- 'ps aux | head'\n" +
			st.name + " ssh db -N -L 5432:localhost:5432 -L 8081:localhost:8080\n" +
			st.name + " ssh web -N -R 9000:localhost:9000\n" +
			"ssh -p 2222 web/0@BRAIN",
		DisableFlagsInUseLine: true,
		Args: func(cmd *cobra.Command, got []string) error {
			if f.fingerprint {
				return args(0, 1, "APP")(cmd, got)
			}
			return args(1, -1, "APP")(cmd, got)
		},
	}
	index := indexFlag(cmd)
	cmd.Flags().StringArrayVarP(&f.local, "local", "L", nil, "`[HERE:]PORT:HOST:PORT`: listen here, connect inside; may be repeated")
	cmd.Flags().StringArrayVarP(&f.remote, "remote", "R", nil, "`[INSIDE:]PORT:HOST:PORT`: listen inside, connect here; may be repeated")
	cmd.Flags().BoolVarP(&f.nothing, "nothing", "N", false, "run nothing, only forward")
	cmd.Flags().BoolVar(&f.fingerprint, "fingerprint", false, "show by what the brain's SSH port is known")
	f.tty.register(cmd)
	f.out = formatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if f.fingerprint {
			return st.fingerprint(cmd.Context(), *f.out)
		}
		return f.run(cmd, st, args, *index)
	}
	return cmd
}

func (f *sshFlags) run(cmd *cobra.Command, st *streams, args []string, index int) error {
	line := strings.Join(args[1:], " ")
	if f.nothing && line != "" {
		return usage(cmd, "-N runs nothing, so there can be no command")
	}
	if f.nothing && len(f.local)+len(f.remote) == 0 {
		return usage(cmd, "-N only forwards: say what with -L or -R")
	}
	forwards, err := parseForwards(f.local, f.remote)
	if err != nil {
		return usage(cmd, "%w", err)
	}
	tty, err := f.tty.wanted(cmd, st)
	if err != nil {
		return err
	}
	in, err := findInside(cmd, args[0], index)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(cmd.Context())
	defer cancel(nil)
	wait, err := st.startForwards(ctx, in, forwards, cancel)
	if err != nil {
		return err
	}
	defer wait()
	if f.nothing {
		<-ctx.Done()
		if cmd.Context().Err() != nil {
			return nil // left with Ctrl-C, which is how it ends
		}
		return lost(in, context.Cause(ctx))
	}
	if tty && line == "" {
		st.note("Connecting to %s", in)
	}
	err = st.attach(cmd.Context(), in, app.SessionRequest{Kind: app.SessionShell, Line: line, TTY: tty})
	cancel(nil)
	return err
}

// fingerprint shows by what the SSH port is known.
func (st *streams) fingerprint(ctx context.Context, out format) error {
	t, err := currentTarget()
	if err != nil {
		return err
	}
	b, err := dial(t)
	if err != nil {
		return err
	}
	info, err := b.Info(ctx)
	if err != nil {
		return err
	}
	if info.SSH == nil {
		return &failure{code: exitCommand, err: errors.New("the brain has no SSH port: its port 2222 was taken when it started, or --ssh says off"),
			hint: "'" + st.name + " ssh APP' works all the same"}
	}
	if out != asTable {
		return out.encode(st.out, info.SSH)
	}
	u, err := url.Parse(t.URL)
	if err != nil {
		return err
	}
	host := u.Hostname()
	known := host
	if info.SSH.Port != 22 {
		known = "[" + host + "]:" + strconv.Itoa(info.SSH.Port)
	}
	var tab table
	tab.row("Address:", net.JoinHostPort(host, strconv.Itoa(info.SSH.Port)))
	tab.row("Fingerprint:", info.SSH.Fingerprint)
	tab.row("known_hosts:", known+" "+info.SSH.HostKey)
	tab.write(st.out)
	st.note("%s", fmt.Sprintf("\nNext: ssh -p %d APP/0@%s", info.SSH.Port, host))
	return nil
}
