package cli

import (
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"lattice/internal/config"
	"lattice/internal/doctor"
	"lattice/internal/node"
)

// hostFlags say which lattice of this machine is meant.
type hostFlags struct{ dataDir, file string }

func (h *hostFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&h.dataDir, "data-dir", "", "with --host: the `FOLDER` that lattice keeps its data in [as for 'up']")
	cmd.Flags().StringVar(&h.file, "config", "", "with --host: `FILE` that lattice is started with")
}

// config returns what lattice would be started with. A host that only has been a
// cell so far is one, any other may be all.
func (h *hostFlags) config() (doctor.HostConfig, error) {
	flags := pflag.NewFlagSet("doctor", pflag.ContinueOnError)
	config.AddUpFlags(flags)
	if h.dataDir != "" {
		if err := flags.Set("data-dir", h.dataDir); err != nil {
			return doctor.HostConfig{}, err
		}
	}
	cfg, err := config.Up(flags, h.file)
	if err != nil {
		return doctor.HostConfig{}, err
	}
	b := cfg.Brain
	host := doctor.HostConfig{DataDir: b.DataDir, StateDir: b.StateDir, PID: node.Running(b.Common)}
	for _, network := range []string{"tcp", "udp"} {
		host.Listen = append(host.Listen, doctor.Listen{What: "gossip", Network: network, Addr: b.Gossip})
	}
	if there(b.DataDir, "cell") && !there(b.DataDir, "brain") {
		return host, nil
	}
	router := doctor.Listen{What: "the router", Network: "tcp", Addr: b.Router.HTTP}
	if b.Router.HTTP == "" {
		router.Addr, router.Else = ":80", "takes 8080"
	}
	host.Domain, host.Listen = b.Domain, append(host.Listen, doctor.Listen{What: "the API", Network: "tcp", Addr: b.API}, router)
	return host, nil
}

func there(dir, name string) bool {
	_, err := os.Stat(filepath.Join(dir, name))
	return err == nil
}
