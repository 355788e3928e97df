package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"lattice/app"
	"lattice/internal/config"
	"lattice/internal/install"
	"lattice/internal/node"
)

// machineFlags say which lattice of this machine is meant.
type machineFlags struct{ file, dataDir string }

func (f *machineFlags) register(fs *pflag.FlagSet) {
	fs.StringVar(&f.file, "config", "", "`FILE` it was started with (default: "+install.Config+", if it is there)")
	fs.StringVar(&f.dataDir, "data-dir", "", "its data `FOLDER`, if that is not the usual one")
}

// read returns its settings.
func (f *machineFlags) read() (config.UpConfig, error) {
	file := f.file
	if _, err := os.Stat(install.Config); file == "" && err == nil {
		file = install.Config
	}
	flags := pflag.NewFlagSet("machine", pflag.ContinueOnError)
	config.AddUpFlags(flags)
	if f.dataDir != "" {
		if err := flags.Set("data-dir", f.dataDir); err != nil {
			return config.UpConfig{}, err
		}
	}
	return config.Up(flags, file)
}

func newBackup(st *streams) *cobra.Command {
	var f machineFlags
	var noImages bool
	cmd := &cobra.Command{
		Use: "backup FILE", GroupID: groupServe,
		Short: "Save all that makes the brain of this machine in a file",
		Long: `Save all that makes the brain of this machine in a file: apps with their
revisions, tasks, placements, CA, tokens, users, certificates, events, what is known
of other registries with the key of the passwords, and the images that were pushed
or built, unless --without-images says otherwise: they exist nowhere else. It is as
of one moment, and the brain may run. What is kept of images of other registries,
logs and the files of containers are not in it.

Who has the file has the cluster: it is readable by its owner only, and should stay
so. '` + st.name + ` restore' makes a brain of it.`,
		Example: "sudo " + st.name + " backup /root/lattice-$(date +%F).backup",
		Args:    args(1, 1, "the FILE to write"),
	}
	f.register(cmd.Flags())
	cmd.Flags().BoolVar(&noImages, "without-images", false, "leave out the images that were pushed or built")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cfg, err := f.read()
		if err != nil {
			return err
		}
		if _, err := os.Stat(filepath.Join(cfg.Brain.DataDir, "brain")); err != nil {
			return fail(exitFile, fmt.Errorf("there is no brain to back up: %w", err))
		}
		out, err := os.OpenFile(args[0], os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, fs.ErrExist) {
			return &failure{code: exitFile, err: err, hint: "give the backup a name of its own"}
		}
		if err != nil {
			return fail(exitFile, err)
		}
		_, err = node.Backup(cmd.Context(), cfg.Brain, currentVersion(), !noImages, out)
		if err = errors.Join(err, out.Sync(), out.Close()); err != nil {
			return errors.Join(fmt.Errorf("back up: %w", err), os.Remove(args[0]))
		}
		fmt.Fprintf(st.out, "Saved in %s. It holds every secret of the cluster: keep it safe.\n", args[0])
		return nil
	}
	return cmd
}

func newRestore(st *streams) *cobra.Command {
	var f machineFlags
	var force bool
	cmd := &cobra.Command{
		Use: "restore FILE", GroupID: groupServe,
		Short: "Make a brain of what backup saved",
		Long: `Make a brain of what '` + st.name + ` backup' saved, on this machine or another one that
takes its address. Lattice must not run. Cells find the brain by its address and go
on; nothing that runs is stopped. What was created after the backup is shown by
'` + st.name + ` list --strays', and taken back, or stopped, by '` + st.name + ` adopt'.`,
		Example: "sudo systemctl stop lattice\nsudo " + st.name + " restore --force /root/lattice-2026-01-31.backup\nsudo systemctl start lattice",
		Args:    args(1, 1, "the FILE that backup wrote"),
	}
	f.register(cmd.Flags())
	cmd.Flags().BoolVar(&force, "force", false, "put a brain that is here already aside")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cfg, err := f.read()
		if err != nil {
			return err
		}
		in, err := os.Open(args[0])
		if err != nil {
			return fail(exitFile, err)
		}
		defer in.Close()
		done, err := node.Restore(cfg.Brain.Common, in, force)
		if errors.Is(err, app.ErrExists) {
			return &failure{code: exitFile, err: err, hint: "--force puts it aside and restores"}
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(st.out, "Restored the brain of %s as it was at %s: %d app(s).\n", done.Host, localTime(done.At), done.Apps)
		if done.Old != "" {
			st.note("what was here before is in %s", done.Old)
		}
		st.note("\nNext: start lattice; then '%s cells' and '%s list --strays'", st.name, st.name)
		return nil
	}
	return cmd
}
