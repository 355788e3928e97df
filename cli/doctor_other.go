//go:build !linux

package cli

import (
	"github.com/spf13/cobra"

	"lattice/internal/doctor"
)

// hostFlags are for Linux, where lattice serves.
type hostFlags struct{}

func (*hostFlags) register(*cobra.Command) {}

func (*hostFlags) config() (doctor.HostConfig, error) { return doctor.HostConfig{}, nil }
