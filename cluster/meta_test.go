package cluster_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"lattice/app"
	"lattice/cluster"
)

func TestMetaLength(t *testing.T) {
	labels := map[string]string{"rack": "r1", "note": strings.Repeat("x", 500), "disk": "ssd"}
	for _, c := range []struct {
		name string
		meta cluster.Meta
		want string // part of the error
	}{
		{"nothing", cluster.Meta{}, ""},
		{"all, and labels of 300 bytes", cluster.Meta{
			API: "brain.example.com:7443", Cell: "cell-1", Zone: "z1", Version: "1.0.0",
			Labels:   map[string]string{"note": strings.Repeat("x", 300)},
			Capacity: app.Resources{MemoryMB: 1 << 20, DiskMB: 1 << 24, Containers: 1000},
		}, ""},
		{"a long label", cluster.Meta{Cell: "c", Labels: labels}, `shorten or drop label "note"`},
		{"a long zone", cluster.Meta{Cell: "c", Zone: strings.Repeat("z", 600)}, "zone and version together"},
	} {
		b, err := cluster.EncodeMeta(c.meta)
		if c.want == "" {
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
				continue
			}
			if got, err := cluster.DecodeMeta(b); err != nil || !reflect.DeepEqual(got, c.meta) {
				t.Errorf("%s: got %+v, %v back, want %+v", c.name, got, err, c.meta)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got error %v, want %q in it", c.name, err, c.want)
		}
	}
}

func TestCells(t *testing.T) {
	now := time.Now()
	member := func(name, cell string, s app.CellState, ago int) cluster.Member {
		return cluster.Member{Name: name, Host: "10.0.0." + name, State: s,
			Since: now.Add(-time.Duration(ago) * time.Second), Meta: cluster.Meta{Cell: cell}}
	}
	for _, c := range []struct {
		name    string
		members []cluster.Member
		want    string
	}{
		{"nobody", nil, ""},
		{"a brain is no cell", []cluster.Member{member("1", "", app.CellAlive, 0)}, ""},
		{"by id", []cluster.Member{member("1", "b", app.CellAlive, 0), member("2", "a", app.CellSuspect, 0)},
			"a@10.0.0.2 SUSPECT, b@10.0.0.1 ALIVE"},
		{"the living one of two", []cluster.Member{member("1", "a", app.CellDead, 0), member("2", "a", app.CellAlive, 9)},
			"a@10.0.0.2 ALIVE"},
		{"the latest of two", []cluster.Member{member("1", "a", app.CellAlive, 9), member("2", "a", app.CellAlive, 1)},
			"a@10.0.0.2 ALIVE"},
	} {
		var got []string
		for _, cell := range cluster.Cells(c.members) {
			got = append(got, fmt.Sprintf("%s@%s %s", cell.ID, cell.Address, cell.State))
		}
		if got := strings.Join(got, ", "); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func FuzzDecodeMeta(f *testing.F) {
	for _, s := range []string{"", "{}", `{"i":"a","l":{"k":"v"},"m":-1}`, `{"l":{"k":1}}`, "[", "null"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := cluster.DecodeMeta(b)
		if err == nil && (m.Capacity.MemoryMB < 0 || m.Capacity.DiskMB < 0 || m.Capacity.Containers < 0) {
			t.Errorf("%q: negative capacity %+v", b, m.Capacity)
		}
	})
}
