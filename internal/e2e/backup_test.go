package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestRestoredBrainGoesOn backs a running brain up, loses it, and restores it:
// cells and clients go on with it, and what is newer than the backup isn't lost.
func TestRestoredBrainGoesOn(t *testing.T) {
	l, brain, _ := cluster(t, "c1")
	brain.ltc("create", "hello", "lattice/hello", "-i", "2", "-e", "COLOUR=blue")
	brain.ltc("push", "../node/bundle/hello.tar", "own:1")
	if out, code := brain.withInput("s3cret\n", "registry", "add", "private.lan", "--username", "me", "--password-stdin", "--no-check"); code != 0 {
		t.Fatalf("registry add: %s", out)
	}
	saved := filepath.Join(brain.home(), "saved")
	brain.ltc("backup", saved)
	if info, err := os.Stat(saved); err != nil || info.Mode() != 0o600 {
		t.Fatalf("the backup: %v %v", info, err)
	}
	if code, _, errs := brain.lattice("backup", saved); code != 12 || !strings.Contains(errs, "hint: ") {
		t.Errorf("backup over a file: %d %s", code, errs)
	}
	brain.ltc("create", "late", "lattice/hello", "--no-wait")
	brain.running("late", 1, anywhere)
	before, containers := guids(brain.status("hello")), l.host("c1").containers()

	if code, _, errs := brain.lattice("restore", "--force", saved); code == 0 || !strings.Contains(errs, "lattice is up already") {
		t.Errorf("restore under a running brain: %d %s", code, errs)
	}
	brain.procs[0].kill()
	if code, _, errs := brain.lattice("restore", saved); code != 12 || !strings.Contains(errs, "--force") {
		t.Errorf("restore over a brain: %d %s", code, errs)
	}
	if err := os.RemoveAll(brain.data()); err != nil { // its disk is lost
		t.Fatal(err)
	}
	if out := brain.ltc("restore", saved); !strings.Contains(out, "1 app(s)") {
		t.Errorf("restore: %s", out)
	}
	brain.waitReady(brain.start("brain"))
	brain.running("hello", 2, on("c1"))
	if after := guids(brain.status("hello")); after[0] != before[0] || after[1] != before[1] {
		t.Errorf("containers before: %v, after: %v", before, after)
	}
	brain.mustGet("hello."+domain, "/")

	eventually(t, 30*time.Second, "the newer app is a stray", func() string {
		out := brain.ltc("list", "--strays", "-o", "json")
		if strings.Count(out, `"stray": true`) == 1 && strings.Contains(out, `"late"`) {
			return ""
		}
		return out
	})
	brain.ltc("adopt", "late")
	brain.running("late", 1, on("c1"))
	if now := l.host("c1").containers(); strings.Join(now, " ") != strings.Join(containers, " ") {
		t.Errorf("containers before: %v, after: %v", containers, now)
	}
	eventually(t, time.Minute, "the cell is met by gossip", func() string {
		if out := brain.ltc("cells"); !strings.Contains(out, "ALIVE") {
			return "cells: " + out
		}
		return ""
	})
	brain.ltc("create", "own", "cluster/own:1") // a pushed image is nowhere else
	brain.running("own", 1, on("c1"))
	if out := brain.ltc("registry", "list"); !strings.Contains(out, "private.lan  me") {
		t.Errorf("registries: %s", out)
	}
	if code, _, errs := brain.lattice("create", "private", "private.lan/web"); code != 15 || strings.Contains(errs, "can't be read with this key") {
		t.Errorf("the key of the passwords was lost: %d %s", code, errs)
	}
	brain.ltc("scale", "hello", "3") // the cell goes by the restored brain
	brain.running("hello", 3, on("c1"))
}
