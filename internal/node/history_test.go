package node

import (
	"testing"
	"time"

	"lattice/api"
	"lattice/app"
	"lattice/router"
)

func TestHistoryKeepsAnHour(t *testing.T) {
	h := newHistory(nil, nil)
	web := api.Measured{App: "web"}
	now := time.Unix(1e9, 0)
	for i := range historyKept + 5 {
		now = now.Add(historyStep)
		h.measure(now, []app.Status{{App: app.App{Name: "web"}, Instances: []app.Instance{
			{Cell: "c1", CPUPercent: float64(i), MemoryBytes: 10}, {Cell: "c1", MemoryBytes: 5}, {},
		}}}, map[string]map[string]router.Totals{"": {"web": {Requests: uint64(i) * 15}}, "c1": {"web": {Requests: uint64(i) * 5}}})
	}
	s, ok := h.Series(web)
	if !ok || len(s.Points) != historyKept || !s.At.Equal(now) {
		t.Fatalf("got %d points to %v, %v", len(s.Points), s.At, ok)
	}
	if first, last := s.Points[0], s.Points[historyKept-1]; first[0] != 5 || last[0] != historyKept+4 || last[1] != 15 || last[2] != 2 {
		t.Errorf("got %v … %v", first, last)
	}
	if p := h.Latest(); p.Apps["web"][1] != 15 || p.Cells["c1"][1] != 15 {
		t.Errorf("latest: %+v", p)
	}
	h.measure(now, nil, nil)
	if _, ok := h.Series(web); ok {
		t.Error("the points of an app that was removed are still there")
	}
}
