//go:build linux

package doctor_test

import (
	"net"
	"os"
	"strings"
	"testing"

	"lattice/app"
	"lattice/internal/doctor"
)

// The host that runs the tests runs containers, so nothing that lattice needs of
// it is broken; what is made up here is.
func TestHost(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can try all")
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	dir := t.TempDir()
	fs := doctor.Host(t.Context(), doctor.HostConfig{
		DataDir: dir + "/data", StateDir: dir + "/state", Domain: "nothing.invalid",
		Listen: []doctor.Listen{{What: "the API", Network: "tcp", Addr: taken.Addr().String()}, {What: "gossip", Network: "udp", Addr: "127.0.0.1:0"}},
	})
	got := map[string]app.Finding{}
	for _, f := range fs {
		got[f.Check] = f
		t.Logf("%+v", f)
	}
	for check, want := range map[string]app.FindingState{
		"lattice": app.FindingOK, "user": app.FindingOK, "cgroups": app.FindingOK, "seccomp": app.FindingOK,
		"overlayfs": app.FindingOK, "user namespaces": app.FindingOK, "nftables": app.FindingOK, "leftovers": app.FindingOK,
		"port " + taken.Addr().String() + "/tcp": app.FindingBroken, "port 127.0.0.1:0/udp": app.FindingOK,
		"names of nothing.invalid": app.FindingWarning,
	} {
		if got[check].State != want {
			t.Errorf("%s: got %+v, want %s", check, got[check], want)
		}
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if says := got["port "+taken.Addr().String()+"/tcp"].Says; !strings.Contains(says, "doctor.test") {
		t.Errorf("got %q, want the name of the process that has the port", says)
	}
}
