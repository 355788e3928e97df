//go:build !linux

package cli

import "github.com/spf13/cobra"

// serverCommands returns none: brains and cells run on Linux only.
func serverCommands(*streams) []*cobra.Command { return nil }
