package node

import (
	"context"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"lattice/api"
	"lattice/app"
	"lattice/router"
)

const (
	historyStep  = 10 * time.Second
	historyKept  = 360  // points of each: an hour
	historyBound = 4000 // apps and cells; a point has 48 bytes
)

// history is api.History: an hour of what instances use and routers count. It is
// in memory only.
type history struct {
	statuses func() []app.Status
	totals   func() map[string]map[string]router.Totals // by router and app

	mu     sync.Mutex // guards what follows
	at     time.Time
	before map[string]map[string]router.Totals
	series map[api.Measured]*points
}

// points is a ring that grows to historyKept.
type points struct {
	list []api.Point
	next int // place of the oldest, once it is full
}

func (p *points) add(v api.Point) {
	if len(p.list) < historyKept {
		p.list = append(p.list, v)
		return
	}
	p.list[p.next] = v
	p.next = (p.next + 1) % len(p.list)
}

func (p *points) all() []api.Point { return slices.Concat(p.list[p.next:], p.list[:p.next]) }

func (p *points) last() api.Point { return p.list[(p.next+len(p.list)-1)%len(p.list)] }

func newHistory(statuses func() []app.Status, totals func() map[string]map[string]router.Totals) *history {
	return &history{statuses: statuses, totals: totals, series: map[api.Measured]*points{}}
}

// Run measures until ctx is done.
func (h *history) Run(ctx context.Context) error {
	tick := time.NewTicker(historyStep)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			h.measure(now, h.statuses(), h.totals())
		}
	}
}

// measure adds a point to all there is, and forgets what is no more.
func (h *history) measure(now time.Time, statuses []app.Status, totals map[string]map[string]router.Totals) {
	fresh := map[api.Measured]api.Point{}
	for _, st := range statuses {
		p := api.Point{}
		for _, in := range st.Instances {
			p[0] += in.CPUPercent
			p[1] += float64(in.MemoryBytes)
			if in.Cell == "" {
				continue
			}
			c := fresh[api.Measured{Cell: in.Cell}]
			c[0] += in.CPUPercent
			c[1] += float64(in.MemoryBytes)
			fresh[api.Measured{Cell: in.Cell}] = c
		}
		fresh[api.Measured{App: st.App.Name}] = p
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.before != nil {
		for name, t := range since(totals, h.before) {
			if p, ok := fresh[api.Measured{App: name}]; ok {
				fresh[api.Measured{App: name}] = withTraffic(p, t, now.Sub(h.at))
			}
		}
	}
	h.at, h.before = now, totals
	maps.DeleteFunc(h.series, func(m api.Measured, _ *points) bool { _, ok := fresh[m]; return !ok })
	for m, p := range fresh {
		s := h.series[m]
		if s == nil {
			if len(h.series) >= historyBound {
				continue
			}
			s = &points{}
			h.series[m] = s
		}
		for i := range p {
			p[i] = math.Round(p[i]*100) / 100
		}
		s.add(p)
	}
}

// since returns the requests of each app that came to any router after an
// earlier count. What a router had counted when it was first heard of is no news.
func since(now, before map[string]map[string]router.Totals) map[string]router.Totals {
	all := map[string]router.Totals{}
	for name, apps := range now {
		was, known := before[name]
		if !known {
			continue
		}
		for of, t := range apps {
			all[of] = all[of].Plus(t.Since(was[of]))
		}
	}
	return all
}

func withTraffic(p api.Point, t router.Totals, took time.Duration) api.Point {
	p[2] = float64(t.Requests) / took.Seconds()
	p[3] = t.Quantile(0.5).Seconds() * 1000
	p[4] = t.Quantile(0.95).Seconds() * 1000
	p[5] = float64(t.Errors) / took.Seconds()
	return p
}

// Series returns the points of an app or a cell.
func (h *history) Series(of api.Measured) (api.Series, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.series[of]
	if s == nil {
		return api.Series{}, false
	}
	return api.Series{At: h.at, Step: int(historyStep.Seconds()), Points: s.all()}, true
}

// Latest returns the newest point of all.
func (h *history) Latest() api.Points {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := api.Points{At: h.at, Apps: map[string]api.Point{}, Cells: map[string]api.Point{}}
	for of, s := range h.series {
		if of.App != "" {
			p.Apps[of.App] = s.last()
		} else {
			p.Cells[of.Cell] = s.last()
		}
	}
	return p
}

// Trends returns the last n points of each app, without the newest.
func (h *history) Trends(n int) map[string][]api.Point {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := map[string][]api.Point{}
	for of, s := range h.series {
		if list := s.all(); of.App != "" && len(list) > 1 {
			all[of.App] = list[max(0, len(list)-1-n) : len(list)-1]
		}
	}
	return all
}
