package containerd

// The parts of containerd's server that this cell needs. Each registers itself;
// what is not here (CRI, NRI, metrics, gRPC, transfer, sandboxes…) is not
// started and costs no memory.
import (
	_ "github.com/containerd/containerd/v2/core/runtime/v2"                  // shims and tasks
	_ "github.com/containerd/containerd/v2/plugins/diff/walking/plugin"      // unpacks layers
	_ "github.com/containerd/containerd/v2/plugins/events"                   // inside the process
	_ "github.com/containerd/containerd/v2/plugins/gc"                       // deletes what nothing refers to
	_ "github.com/containerd/containerd/v2/plugins/leases"                   // keep fresh things from gc
	_ "github.com/containerd/containerd/v2/plugins/metadata"                 // the database
	_ "github.com/containerd/containerd/v2/plugins/services/containers"      // the client's half of each
	_ "github.com/containerd/containerd/v2/plugins/services/content"         //
	_ "github.com/containerd/containerd/v2/plugins/services/diff"            //
	_ "github.com/containerd/containerd/v2/plugins/services/events"          // shims publish here
	_ "github.com/containerd/containerd/v2/plugins/services/images"          //
	_ "github.com/containerd/containerd/v2/plugins/services/introspection"   // what the snapshotters can
	_ "github.com/containerd/containerd/v2/plugins/services/namespaces"      //
	_ "github.com/containerd/containerd/v2/plugins/services/snapshots"       //
	_ "github.com/containerd/containerd/v2/plugins/services/tasks"           //
	_ "github.com/containerd/containerd/v2/plugins/services/warning"         // wanted by others
	_ "github.com/containerd/containerd/v2/plugins/snapshots/native/plugin"  // where there is no overlayfs
	_ "github.com/containerd/containerd/v2/plugins/snapshots/overlay/plugin" //
)
