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
	web, api := app.App{Name: "web", Revision: 12}, app.App{Name: "api", Revision: 1}
	web2, api1 := app.Revision{App: app.App{Name: "web", Revision: 2}}, app.Revision{App: api}
	web12 := app.Revision{App: web, Cause: "update"}
	p := app.Placement{ID: "p1", App: "web", Index: 0, Cell: "a", Revision: 2}
	drain := app.CellOrder{Cell: "a", Draining: true}
	steps := []struct {
		name   string
		change app.Change
		want   app.Desired
	}{
		{"empty", app.Change{}, app.Desired{}},
		{"one of all", app.Change{PutApps: []app.App{web, api}, PutPlacements: []app.Placement{p},
			PutRevisions: []app.Revision{web12, api1, web2}, PutOrders: []app.CellOrder{drain}},
			app.Desired{Apps: []app.App{api, web}, Placements: []app.Placement{p}, Revisions: []app.Revision{api1, web2, web12}, Orders: []app.CellOrder{drain}}},
		{"deletes, an app with its revisions", app.Change{DeleteApps: []string{"api"}, DeletePlacements: []string{"p1"},
			DeleteRevisions: []app.RevisionKey{{App: "web", Number: 2}}, DeleteOrders: []string{"a"}},
			app.Desired{Apps: []app.App{web}, Revisions: []app.Revision{web12}}},
		{"deletes what isn't there", app.Change{DeleteApps: []string{"api"}, DeletePlacements: []string{"p9"}},
			app.Desired{Apps: []app.App{web}, Revisions: []app.Revision{web12}}},
	}
	for _, st := range steps {
		if err := s.Commit(st.change); err != nil {
			t.Fatalf("%s: %v", st.name, err)
		}
		got, err := s.Load()
		if err != nil || !reflect.DeepEqual(got, st.want) {
			t.Errorf("%s: got %+v %v, want %+v", st.name, got, err, st.want)
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
	if err := s.Commit(created("web")); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again := storetest.OpenAt(t, path)
	st, err := again.Load()
	if err != nil || len(st.Apps) != 1 || again.ID() != id {
		t.Errorf("after reopening: %d apps, id %q, %v; want 1 app and id %q", len(st.Apps), again.ID(), err, id)
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
		st, err := s.Load()
		apps := st.Apps
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
		if err := s.Commit(created(fmt.Sprintf("app-%06d", i))); err != nil {
			panic(err)
		}
		fmt.Println(i)
	}
}

// created is the change that a new app makes.
func created(name string) app.Change {
	a := app.App{Name: name, Revision: 1}
	return app.Change{PutApps: []app.App{a}, PutRevisions: []app.Revision{{App: a, Cause: "create"}}}
}

func TestTasksAndSchedules(t *testing.T) {
	path := filepath.Join(t.TempDir(), "brain.db")
	code := 3
	task := app.Task{Name: "job", Spec: app.App{Name: "job", Env: map[string]string{"A": "b"}}, TaskOptions: app.TaskOptions{Retries: 1},
		State: app.Completed, ExitCode: &code, Attempts: []app.Attempt{{ID: "x", Cell: "c"}}, Callback: &app.Callback{Tries: 2}}
	schedule := app.Schedule{Name: "tick", Cron: "@daily", Task: task, History: []app.ScheduleRun{{Task: "tick-1"}}}
	t.Run("before", func(t *testing.T) {
		s := storetest.OpenAt(t, path)
		if err := s.Commit(app.Change{PutTasks: []app.Task{task, {Name: "gone"}}, PutSchedules: []app.Schedule{schedule, {Name: "gone"}}}); err != nil {
			t.Fatal(err)
		}
		if err := s.Commit(app.Change{DeleteTasks: []string{"gone"}, DeleteSchedules: []string{"gone"}}); err != nil {
			t.Fatal(err)
		}
	})
	got, err := storetest.OpenAt(t, path).Load()
	if err != nil || !reflect.DeepEqual(got.Tasks, []app.Task{task}) || !reflect.DeepEqual(got.Schedules, []app.Schedule{schedule}) {
		t.Errorf("%+v %v", got, err)
	}
}
