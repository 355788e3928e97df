package doctor_test

import (
	"strings"
	"testing"
	"time"

	"lattice/app"
	"lattice/internal/doctor"
)

var now = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func wellCell(id string) app.Cell {
	return app.Cell{ID: id, State: app.CellAlive, Version: "1", Capacity: app.Resources{MemoryMB: 4096},
		Vitals: &app.Vitals{DiskFreeMB: 50_000, DiskTotalMB: 100_000, FilesFree: -1, CertificateEnds: now.Add(24 * time.Hour)}}
}

func TestCluster(t *testing.T) {
	web := func(ins ...app.Instance) []app.Status {
		return []app.Status{{App: app.App{Name: "web", Image: "nginx", Instances: 2}, Instances: ins}}
	}
	up := app.Instance{State: app.Running}
	for name, tt := range map[string]struct {
		change func(*doctor.ClusterFacts)
		check  string
		state  app.FindingState
		says   string // a part of it
	}{
		"versions":       {func(f *doctor.ClusterFacts) { f.Cells[0].Version = "2" }, "versions", app.FindingWarning, "1: the brain, this ltc; 2: c1"},
		"no cells":       {func(f *doctor.ClusterFacts) { f.Cells = nil }, "cells", app.FindingBroken, "no cell has joined"},
		"a dead cell":    {func(f *doctor.ClusterFacts) { f.Cells[0].State = app.CellDead }, "cell c1", app.FindingBroken, "is dead"},
		"a suspect cell": {func(f *doctor.ClusterFacts) { f.Cells[0].State = app.CellSuspect }, "cells", app.FindingBroken, "none of 1 takes work"},
		"a drained cell": {func(f *doctor.ClusterFacts) { f.Cells[0].Draining = true }, "cell c1", app.FindingWarning, "drains"},
		"full cells":     {func(f *doctor.ClusterFacts) { f.Cells[0].Used.MemoryMB = 4000 }, "room", app.FindingWarning, "96 MiB"},
		"silent":         {func(f *doctor.ClusterFacts) { f.Cells[0].Vitals = nil }, "host of c1", app.FindingUnknown, "has not told"},
		"clock":          {func(f *doctor.ClusterFacts) { f.Cells[0].Vitals.Ahead = app.Duration(-10 * time.Second) }, "clock of c1", app.FindingWarning, "10s behind"},
		"clock far":      {func(f *doctor.ClusterFacts) { f.Cells[0].Vitals.Ahead = app.Duration(2 * time.Minute) }, "clock of c1", app.FindingBroken, "2m0s ahead of"},
		"disk":           {func(f *doctor.ClusterFacts) { f.Cells[0].Vitals.DiskFreeMB = 100 }, "disk of c1", app.FindingBroken, "100 of 100000 MiB"},
		"low disk":       {func(f *doctor.ClusterFacts) { f.Cells[0].Vitals.DiskFreeMB = 1000 }, "disk of c1", app.FindingWarning, "only 1000"},
		"inodes":         {func(f *doctor.ClusterFacts) { f.Cells[0].Vitals.FilesFree = 10 }, "disk of c1", app.FindingBroken, "10 more files"},
		"certificate":    {func(f *doctor.ClusterFacts) { f.Cells[0].Vitals.CertificateEnds = now.Add(-time.Hour) }, "certificate of c1", app.FindingBroken, "it ended on"},
		"firewall":       {func(f *doctor.ClusterFacts) { f.Cells[0].Vitals.Warnings = []string{"ufw"} }, "host of c1", app.FindingWarning, "ufw"},
		"no room": {func(f *doctor.ClusterFacts) {
			f.Apps = web(up, app.Instance{Index: 1, State: app.Unclaimed, Reason: "needs"})
		}, "app web", app.FindingWarning, "1 of 2 instances run: instance 1 fits nowhere: needs"},
		"crash loop": {func(f *doctor.ClusterFacts) {
			f.Apps = web(app.Instance{State: app.Crashed, Crashes: 5, Reason: "exited"})
		}, "app web", app.FindingBroken, "none of 2 instances runs: instance 0 crashed 5 times: exited"},
		"starting": {func(f *doctor.ClusterFacts) { f.Apps = web(app.Instance{State: app.Claimed}) }, "apps", app.FindingOK, "1 of 1"},
		"failed change": {func(f *doctor.ClusterFacts) {
			f.Apps = web(up)
			f.Apps[0].App.Rollout = &app.Rollout{State: app.RolloutFailed, Reason: "it crashed"}
		}, "app web", app.FindingWarning, "it crashed"},
		"strays": {func(f *doctor.ClusterFacts) { f.Strays = 3 }, "strays", app.FindingWarning, "3 instances"},
		"events": {func(f *doctor.ClusterFacts) {
			f.Events = []app.Event{{Kind: app.EventsLost, At: now, Message: "5 events are not on disk"}}
		}, "events", app.FindingWarning, "5 events"},
	} {
		f := doctor.ClusterFacts{Program: "ltc", Now: now, Client: "1", Brain: "1", Cells: []app.Cell{wellCell("c1")}}
		for _, x := range doctor.Cluster(f) {
			if x.State != app.FindingOK || x.Mend != "" {
				t.Fatalf("a cluster that is well: %+v", x)
			}
		}
		tt.change(&f)
		hit := false
		for _, x := range doctor.Cluster(f) {
			hit = hit || x.Check == tt.check && x.State == tt.state && strings.Contains(x.Says, tt.says)
			if (x.State == app.FindingBroken || x.State == app.FindingWarning) && x.Mend == "" {
				t.Errorf("%s: %q does not say how to mend it", name, x.Says)
			}
		}
		if !hit {
			t.Errorf("%s: got %+v, want %s of %s: %q", name, doctor.Cluster(f), tt.state, tt.check, tt.says)
		}
	}
}
