package router

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
)

// WriteMetrics writes the counts in the text format of Prometheus. Those of an
// app begin anew when the table has had no route of it.
func (r *Router) WriteMetrics(w io.Writer) error {
	m := metrics{bufio.NewWriter(w)}
	m.router(r)
	r.mu.Lock()
	byApp := maps.Clone(r.traffic)
	r.mu.Unlock()
	names := slices.Sorted(maps.Keys(byApp))

	m.head("lattice_router_requests_total", "counter", "Requests by app and class of the answer; code=\"gone\": the client went away.")
	for _, name := range names {
		for class := range byApp[name].codes {
			if n := byApp[name].codes[class].Load(); n > 0 {
				m.line("lattice_router_requests_total", `app="%s",code="%s"`, n, name, classNames[class])
			}
		}
	}
	m.head("lattice_router_request_duration_seconds", "histogram", "Time from a request's header to the end of its answer.")
	for _, name := range names {
		m.histogram(name, byApp[name])
	}
	m.backends(r.Stats())
	return m.w.Flush()
}

// classNames are the values of the label code, by class.
var classNames = [...]string{"gone", "1xx", "2xx", "3xx", "4xx", "5xx"}

type metrics struct{ w *bufio.Writer }

func (m metrics) head(name, kind, help string) {
	fmt.Fprintf(m.w, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
}

// line writes one value. Names of apps need no escaping in labels.
func (m metrics) line(name, labels string, value any, args ...any) {
	if labels != "" {
		labels = "{" + fmt.Sprintf(labels, args...) + "}"
	}
	fmt.Fprintf(m.w, "%s%s %v\n", name, labels, value)
}

func (m metrics) router(r *Router) {
	c := &r.count
	for _, v := range []struct {
		name, kind, help string
		value            any
	}{
		{"lattice_router_received_total", "counter", "Requests that came in.", c.requests.Load()},
		{"lattice_router_unrouted_total", "counter", "Requests that fit no route or were malformed.", c.unrouted.Load()},
		{"lattice_router_retries_total", "counter", "Tries after a request's first.", c.retries.Load()},
		{"lattice_router_unreachable_total", "counter", "Tries for which no connection to the instance could be made.", c.unreachable.Load()},
		{"lattice_router_ejections_total", "counter", "Instances passed over from then on because no connection could be made.", c.ejections.Load()},
		{"lattice_router_aborted_total", "counter", "Answers that broke off.", c.aborted.Load()},
		{"lattice_router_connections", "gauge", "Open connections of clients.", c.clients.Load()},
		{"lattice_router_routes", "gauge", "Routes in the table.", r.table.Load().count},
	} {
		m.head(v.name, v.kind, v.help)
		m.line(v.name, "", v.value)
	}
}

func (m metrics) histogram(app string, t *traffic) {
	const name = "lattice_router_request_duration_seconds"
	var sum uint64
	for i := range t.buckets {
		sum += t.buckets[i].Load()
		le := "+Inf"
		if i < len(bounds) {
			le = strconv.FormatFloat(bounds[i].Seconds(), 'g', -1, 64)
		}
		m.line(name+"_bucket", `app="%s",le="%s"`, sum, app, le)
	}
	m.line(name+"_sum", `app="%s"`, float64(t.took.Load())/1e9, app)
	m.line(name+"_count", `app="%s"`, sum, app)
}

func (m metrics) backends(s Stats) {
	for _, v := range []struct {
		name, help string
		of         func(b *BackendStats) int64
	}{
		{"lattice_router_in_flight", "Requests and tunnels an instance has now.", func(b *BackendStats) int64 { return b.InFlight }},
		{"lattice_router_resting", "1 while an instance is passed over because it could not be reached.", func(b *BackendStats) int64 {
			if b.Resting {
				return 1
			}
			return 0
		}},
	} {
		m.head(v.name, "gauge", v.help)
		for i := range s.Backends {
			b := &s.Backends[i]
			m.line(v.name, `app="%s",index="%d",addr="%s"`, v.of(b), b.App, b.Index, b.Addr)
		}
	}
}
