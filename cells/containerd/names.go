package containerd

// The programs that run beside us.
const (
	runcName   = "runc"
	shimName   = "containerd-shim-runc-v2"
	loggerName = "lattice-logger"
	helperName = "lattice-helper" // inside containers
)

// helperPath is where a container has the helper: in a folder that no image has
// files in, so that its mount leaves no trace on the disk.
const helperPath = "/dev/" + helperName
