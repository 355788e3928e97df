package cli

import "github.com/spf13/cobra"

// serverCommands returns the commands that serve: up, brain, cell and down.
func serverCommands(*streams) []*cobra.Command { return nil }
