//go:build !linux

package doctor

import (
	"context"
	"runtime"

	"lattice/app"
)

// Host says that there is nothing to look at: lattice serves on Linux only.
func Host(context.Context, HostConfig) []app.Finding {
	return []app.Finding{unknown("host", "lattice runs containers on Linux only, and this is %s: only its client works here", runtime.GOOS)}
}
