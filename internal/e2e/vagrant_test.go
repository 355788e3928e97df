package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestVagrantfile has Debian's vagrant read the Vagrantfile. What it makes is
// tried by `make vagrant-test`.
func TestVagrantfile(t *testing.T) {
	vagrant := func(cells string, args ...string) string {
		t.Helper()
		cmd := exec.Command("vagrant", args...)
		cmd.Dir = "../../vagrant"
		cmd.Env = append(os.Environ(), "VAGRANT_HOME="+filepath.Join(t.TempDir(), "home"), "VAGRANT_DOTFILE_PATH="+filepath.Join(t.TempDir(), "state"),
			"VAGRANT_DEFAULT_PROVIDER=libvirt", "VAGRANT_CHECKPOINT_DISABLE=1", "LATTICE_CELLS="+cells)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("vagrant %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	if out := vagrant("2", "validate"); !strings.Contains(out, "validated successfully") {
		t.Errorf("validate:\n%s", out)
	}
	for cells, want := range map[string]int{"0": 0, "2": 2, "5": 5} {
		out := vagrant(cells, "status")
		if !strings.Contains(out, "brain ") || strings.Count(out, "\ncell-") != want {
			t.Errorf("status with LATTICE_CELLS=%s:\n%s", cells, out)
		}
	}
}

func TestScriptsAreClean(t *testing.T) {
	var scripts []string
	for _, pattern := range []string{"../../deploy/*.sh", "../../vagrant/*.sh"} {
		found, _ := filepath.Glob(pattern)
		scripts = append(scripts, found...)
	}
	if len(scripts) < 3 {
		t.Fatalf("only %v", scripts)
	}
	if out, err := exec.Command("shellcheck", scripts...).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
