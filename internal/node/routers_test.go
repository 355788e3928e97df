package node

import (
	"context"
	"slices"
	"testing"
	"time"

	"lattice/app"
)

// An instance is let go of when each router that is there goes by a table of
// after it was taken out, and has no request open to it.
func TestRoutersConfirm(t *testing.T) {
	now := time.Now()
	at := func(s int) time.Time { return now.Add(time.Duration(s) * time.Second) }
	r := newRouters()
	open := func(what string, want bool) {
		t.Helper()
		if got := r.open("g1", at(10)); (got > 0) != want {
			t.Errorf("%s: %d are open, want some: %t", what, got, want)
		}
	}
	open("no router", false)
	r.expect([]string{"c1", "c2"})
	open("two that have not come yet", true)
	s1, s2 := r.begin("c1"), r.begin("c2")
	r.still("c2", s2, at(11)) // it has nothing to learn
	open("one that has heard nothing", true)
	before := r.tell("c1", s1, at(9))
	after := r.tell("c1", s1, at(10))
	r.report(app.RouterReport{Cell: "c1", Version: before})
	open("one that has the table of before", true)
	r.report(app.RouterReport{Cell: "c1", Version: after, Leaving: map[string]int{"g1": 1}})
	open("one that has a request open", true)
	r.report(app.RouterReport{Cell: "c1", Version: after, Leaving: map[string]int{"g2": 1}})
	open("all have confirmed", false)

	r.end("c1", s1)
	open("one whose stream broke after that", false)
	again := r.begin("c1")
	r.end("c1", s1) // it is over already
	r.still("c1", s1, at(20))
	v := r.tell("c1", again, at(21))
	if n := r.open("g1", at(21)); n != 2 {
		t.Errorf("%d are waited for, want the one with the new stream and the one that has heard nothing since", n)
	}
	r.report(app.RouterReport{Cell: "c1", Version: v - 1})
	r.still("c1", again, at(22))
	r.still("c2", s2, at(22))
	if n := r.open("g1", at(22)); n != 1 {
		t.Errorf("an old word counts as the newest: %d", n)
	}
	r.report(app.RouterReport{Cell: "c1", Version: v})
	if n := r.open("g1", at(22)); n != 0 {
		t.Errorf("what was sent is so later, too: %d", n)
	}

	r.expect([]string{"c2"})
	r.end("c1", again)
	if n := r.open("g1", at(99)); n != 1 || len(r.counts()) != 1 {
		t.Errorf("one that is gone counts: %d, %v", n, r.counts())
	}
}

func TestLinesWaitForTheBrain(t *testing.T) {
	q := newLineQueue()
	line := func(guid string, seq uint64) app.LogLine {
		return app.LogLine{App: "web", GUID: guid, Seq: seq, Stream: app.Platform, Source: app.SourceRouter, Text: "x"}
	}
	for i := range uint64(queueKept + 2) {
		q.Append([]app.LogLine{line("a", i+1)})
	}
	lines, n := q.next(map[string]uint64{})
	if n != queueBatch || len(lines) != n+1 || !lines[0].IsLoss() || lines[0].Seq != 2 || lines[0].Text != "2 lines about requests are not kept: the brain was away for long" || lines[1].Seq != 3 {
		t.Errorf("got %d of %d lines, the first %+v", len(lines), n, lines[0])
	}
	if lines, _ = q.next(map[string]uint64{"a": 2}); len(lines) != queueBatch || lines[0].Seq != 3 {
		t.Errorf("of which the brain has the first two: %+v", lines[0])
	}

	var got []app.LogLine
	for q.deliver(t.Context(), hubFunc(func(l []app.LogLine) { got = append(got, l...) })) {
	}
	if len(got) != queueKept+4 || got[len(got)-1].Seq != queueKept+2 { // each batch begins with a loss, as the hub has nothing
		t.Errorf("%d lines were delivered, the last %+v", len(got), got[len(got)-1])
	}
	if len(q.guids()) != 0 {
		t.Error("lines that were delivered are still there")
	}
}

// hubFunc is a brain that never knows what it has.
type hubFunc func([]app.LogLine)

func TestTheCellKnowsItsInstancesBetter(t *testing.T) {
	in := func(id, cell, guid string) app.Instance {
		return app.Instance{ID: id, App: "web", Cell: cell, GUID: guid, State: app.Running}
	}
	status := app.Status{App: app.App{Name: "web", Image: "x", Env: map[string]string{"KEY": "secret"}, Ports: []int{8080}},
		Instances: []app.Instance{in("p1", "c1", "old"), in("p2", "c2", "g2"), in("p3", "c1", "gone"), {App: "web", Index: 3, State: app.Unclaimed}}}
	status.Instances[0].Draining = true
	r := status.Routed()
	if len(r.Instances) != 3 || r.Status().App.Env != nil || r.Status().App.Ports[0] != 8080 {
		t.Errorf("routers go by %+v", r)
	}
	now := in("p1", "c1", "new")
	now.Unready = true
	got := r.Here("c1", map[string]app.Instance{"p1": now, "p9": in("p9", "c1", "other")}).Instances
	var guids []string
	for _, i := range got {
		guids = append(guids, i.GUID)
	}
	if !slices.Equal(guids, []string{"new", "g2"}) || !got[0].Unready || !got[0].Draining {
		t.Errorf("got %+v", got)
	}
}

func (f hubFunc) LogCursors(context.Context, []string) (map[string]uint64, error) { return nil, nil }

func (f hubFunc) SendLogs(_ context.Context, lines []app.LogLine) error {
	f(lines)
	return nil
}
