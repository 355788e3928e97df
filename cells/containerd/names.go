package containerd

// The programs that run beside us.
const (
	runcName   = "runc"
	shimName   = "containerd-shim-runc-v2"
	loggerName = "lattice-logger"
)
