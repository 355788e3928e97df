package store_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"lattice/app"
	"lattice/store"
	"lattice/store/storetest"
)

func TestCommitIsSeenByLoad(t *testing.T) {
	s := storetest.Open(t)
	web, api := app.App{Name: "web", Instances: 2}, app.App{Name: "api", Instances: 1}
	p := app.Placement{ID: "p1", App: "web", Index: 0, Cell: "a"}
	steps := []struct {
		name       string
		change     app.Change
		apps       []app.App
		placements []app.Placement
	}{
		{"empty", app.Change{}, nil, nil},
		{"apps and a placement", app.Change{PutApps: []app.App{web, api}, PutPlacements: []app.Placement{p}}, []app.App{api, web}, []app.Placement{p}},
		{"deletes in the same change", app.Change{DeleteApps: []string{"api"}, DeletePlacements: []string{"p1"}}, []app.App{web}, nil},
		{"deletes what isn't there", app.Change{DeleteApps: []string{"api"}, DeletePlacements: []string{"p9"}}, []app.App{web}, nil},
	}
	for _, st := range steps {
		if err := s.Commit(st.change); err != nil {
			t.Fatalf("%s: %v", st.name, err)
		}
		apps, placements, err := s.Load()
		if err != nil || !reflect.DeepEqual(apps, st.apps) || !reflect.DeepEqual(placements, st.placements) {
			t.Errorf("%s: got %v %v %v, want %v %v", st.name, apps, placements, err, st.apps, st.placements)
		}
	}
}

func TestReopenKeepsIDAndContent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "brain.db")
	s, err := store.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	id := s.ID()
	if err := s.Commit(app.Change{PutApps: []app.App{{Name: "web"}}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again := storetest.OpenAt(t, path)
	apps, _, err := again.Load()
	if err != nil || len(apps) != 1 || again.ID() != id {
		t.Errorf("after reopening: %d apps, id %q, %v; want 1 app and id %q", len(apps), again.ID(), err, id)
	}
}

func TestOpenRefusesAStoreInUse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "brain.db")
	storetest.OpenAt(t, path)
	if _, err := store.Open(path); err == nil || !strings.Contains(err.Error(), "is a brain running already?") {
		t.Errorf("second open: got %v, want a sentence that asks for another brain", err)
	}
}

// TestAcknowledgedCommitsSurviveKill kills a writing process at ten different
// moments: every change it acknowledged must be there.
func TestAcknowledgedCommitsSurviveKill(t *testing.T) {
	if path := os.Getenv("STORE_TEST_WRITER"); path != "" {
		writeForEver(path)
	}
	path := filepath.Join(t.TempDir(), "brain.db")
	last := -1
	for round := range 10 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestAcknowledgedCommitsSurviveKill$")
		cmd.Env = append(os.Environ(), "STORE_TEST_WRITER="+path, fmt.Sprint("STORE_TEST_FROM=", last+1))
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for range 5 + 7*round {
			if !lines.Scan() {
				t.Fatalf("round %d: the writer ended early", round)
			}
			fmt.Sscan(lines.Text(), &last)
		}
		cmd.Process.Kill()
		for lines.Scan() { // acknowledged before the kill, read after it
			fmt.Sscan(lines.Text(), &last)
		}
		cmd.Wait()
		s, err := store.Open(path)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		apps, _, err := s.Load()
		if err != nil || s.Check() != nil {
			t.Fatalf("round %d: load %v, check %v", round, err, s.Check())
		}
		if len(apps) < last+1 || len(apps) > last+2 {
			t.Fatalf("round %d: %d apps, want %d acknowledged and at most one more", round, len(apps), last+1)
		}
		last = len(apps) - 1
		s.Close()
	}
}

func writeForEver(path string) {
	s, err := store.Open(path)
	if err != nil {
		panic(err)
	}
	var from int
	fmt.Sscan(os.Getenv("STORE_TEST_FROM"), &from)
	for i := from; ; i++ {
		if err := s.Commit(app.Change{PutApps: []app.App{{Name: fmt.Sprintf("app-%06d", i)}}}); err != nil {
			panic(err)
		}
		fmt.Println(i)
	}
}
