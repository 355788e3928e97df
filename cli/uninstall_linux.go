package cli

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"lattice/app"
	"lattice/internal/install"
	"lattice/internal/node"
)

func newUninstall(st *streams) *cobra.Command {
	var deleteData bool
	cmd := &cobra.Command{
		Use: "uninstall", GroupID: groupServe,
		Short: "Take away what install made, and stop all containers",
		Long: `Take away what '` + st.name + ` install' made: service, settings, firewall, program,
and all containers of this machine with their network. Data stay for the next
install unless --delete-data is given. Drain a cell first, and its apps move to
other machines without a failed request.`,
		Example: st.name + " cell drain cell-2    # on any machine\nsudo lattice uninstall --delete-data",
		Args:    args(0, 0, ""),
	}
	cmd.Flags().BoolVar(&deleteData, "delete-data", false, "delete apps, logs, images, certificates and tokens as well")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if os.Geteuid() != 0 {
			return app.Invalid("a service of the machine is root's: use sudo")
		}
		return st.uninstall(context.WithoutCancel(cmd.Context()), deleteData)
	}
	return cmd
}

func (st *streams) uninstall(ctx context.Context, deleteData bool) error {
	if !install.Installed() {
		st.note("nothing to uninstall: there is no %s", install.Unit)
		return nil
	}
	cfg, err := (&machineFlags{}).read()
	if err != nil {
		return err
	}
	common := cfg.Brain.Common
	common.LogLevel = max(common.LogLevel, slog.LevelWarn)
	offer, err := node.Offer(cfg.Brain) // before the data are gone
	if err != nil {
		return err
	}
	if err := install.Remove(ctx, st.note); err != nil {
		return err
	}
	if err := node.Down(ctx, common, deleteData, logger(common), st.note); err != nil {
		return err
	}
	if err := forgetTarget(offer.API); err != nil {
		return err
	}
	_ = os.Remove(filepath.Dir(common.StateDir)) // unless another installation is there
	if err := install.RemoveBinary(); err != nil {
		return err
	}
	if deleteData {
		st.note("lattice is uninstalled; nothing of it is left")
	} else {
		st.note("lattice is uninstalled; its data are in %s", common.DataDir)
	}
	return nil
}

// forgetTarget takes the brain at url out of the target file, and the file away
// when nothing else is in it.
func forgetTarget(url string) error {
	ts, err := loadTargets()
	if err != nil || url == "" {
		return err
	}
	for name, t := range ts.Targets {
		if t.URL == url {
			delete(ts.Targets, name)
		}
	}
	path, err := targetPath()
	if err != nil {
		return err
	}
	if len(ts.Targets) > 0 {
		return saveTargets(ts)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	_ = os.Remove(filepath.Dir(path)) // unless the user keeps something else there
	return nil
}
