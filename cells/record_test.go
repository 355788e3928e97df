package cells

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"lattice/app"
)

func TestForgetAppsKeepsTasks(t *testing.T) {
	dir := t.TempDir()
	r := records{dir}
	started := time.Now().UTC()
	for _, rec := range []record{
		{Assignment: app.Assignment{ID: "app"}, GUID: "g"},
		{Assignment: app.Assignment{ID: "task", Task: &app.TaskOrder{}}, GUID: "h", Run: app.TaskRun{StartedAt: started}},
	} {
		if err := r.save(rec); err != nil {
			t.Fatal(err)
		}
	}
	if err := ForgetApps(dir); err != nil {
		t.Fatal(err)
	}
	left, err := r.load()
	if err != nil || len(left) != 1 || left[0].Assignment.ID != "task" || !left[0].Run.StartedAt.Equal(started) {
		t.Errorf("%+v %v", left, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "damaged.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := ForgetApps(dir); err == nil {
		t.Error("a record that can't be read may be a task's, and nothing is said")
	}
	if err := ForgetApps(filepath.Join(dir, "nothing")); err != nil {
		t.Errorf("without a folder: %v", err)
	}
}
