package router

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"

	"lattice/app"
)

// WriteMetrics writes the counts of routers, by name, in the text format of
// Prometheus. What is of the router without a name has no label router.
func WriteMetrics(w io.Writer, all map[string]app.RouterCounts) error {
	m := metrics{w: bufio.NewWriter(w), all: all, names: slices.Sorted(maps.Keys(all))}
	m.totals()
	m.apps()
	m.backends()
	m.tcp()
	return m.w.Flush()
}

// classNames are the values of the label code, by class.
var classNames = [...]string{"gone", "1xx", "2xx", "3xx", "4xx", "5xx"}

type metrics struct {
	w     *bufio.Writer
	all   map[string]app.RouterCounts
	names []string
}

// family writes one metric: its head, and what each writes for each router.
func (m metrics) family(name, kind, help string, each func(c app.RouterCounts, line func(value any, labels ...string))) {
	fmt.Fprintf(m.w, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
	for _, of := range m.names {
		each(m.all[of], func(value any, labels ...string) {
			if of != "" {
				labels = append(labels, "router", of)
			}
			m.line(name, value, labels)
		})
	}
}

// line writes a value. A label that is empty is a suffix of the name. Names of
// apps and cells need no escaping.
func (m metrics) line(name string, value any, labels []string) {
	m.w.WriteString(name)
	if len(labels) > 0 && labels[0] == "" {
		m.w.WriteString(labels[1])
		labels = labels[2:]
	}
	for i := 0; i < len(labels); i += 2 {
		open := ","
		if i == 0 {
			open = "{"
		}
		fmt.Fprintf(m.w, `%s%s="%s"`, open, labels[i], labels[i+1])
	}
	if len(labels) > 0 {
		m.w.WriteByte('}')
	}
	fmt.Fprintf(m.w, " %v\n", value)
}

func (m metrics) totals() {
	for _, v := range []struct {
		name, kind, help string
		of               func(c app.RouterCounts) any
	}{
		{"received_total", "counter", "Requests that came in.", func(c app.RouterCounts) any { return c.Requests }},
		{"unrouted_total", "counter", "Requests that fit no route or were malformed.", func(c app.RouterCounts) any { return c.Unrouted }},
		{"retries_total", "counter", "Tries after a request's first.", func(c app.RouterCounts) any { return c.Retries }},
		{"unreachable_total", "counter", "Tries for which no connection to the instance could be made.", func(c app.RouterCounts) any { return c.Unreachable }},
		{"ejections_total", "counter", "Instances passed over from then on because no connection could be made.", func(c app.RouterCounts) any { return c.Ejections }},
		{"aborted_total", "counter", "Answers that broke off.", func(c app.RouterCounts) any { return c.Aborted }},
		{"connections", "gauge", "Open connections of clients.", func(c app.RouterCounts) any { return c.Connections }},
		{"routes", "gauge", "Routes in the table.", func(c app.RouterCounts) any { return c.Routes }},
	} {
		m.family("lattice_router_"+v.name, v.kind, v.help, func(c app.RouterCounts, line func(any, ...string)) { line(v.of(c)) })
	}
}

func (m metrics) apps() {
	m.family("lattice_router_requests_total", "counter", "Requests by app and class of the answer; code=\"gone\": the client went away.",
		func(c app.RouterCounts, line func(any, ...string)) {
			for _, name := range slices.Sorted(maps.Keys(c.Apps)) {
				for class, n := range c.Apps[name].Codes {
					if n > 0 {
						line(n, "app", name, "code", classNames[class])
					}
				}
			}
		})
	m.family("lattice_router_request_duration_seconds", "histogram", "Time from a request's header to the end of its answer.",
		func(c app.RouterCounts, line func(any, ...string)) {
			for _, name := range slices.Sorted(maps.Keys(c.Apps)) {
				histogram(name, c.Apps[name], line)
			}
		})
}

func histogram(name string, c app.AppCounts, line func(any, ...string)) {
	var sum uint64
	for i, n := range c.Buckets {
		sum += n
		le := "+Inf"
		if i < len(bounds) {
			le = strconv.FormatFloat(bounds[i].Seconds(), 'g', -1, 64)
		}
		line(sum, "", "_bucket", "app", name, "le", le)
	}
	line(c.Took, "", "_sum", "app", name)
	line(sum, "", "_count", "app", name)
}

func (m metrics) backends() {
	m.family("lattice_router_in_flight", "gauge", "Requests and tunnels an instance has now.", eachBackend(func(b app.BackendStatus) int { return b.InFlight }))
	m.family("lattice_router_resting", "gauge", "1 while an instance is passed over because it could not be reached.", eachBackend(func(b app.BackendStatus) int {
		if b.Ejected {
			return 1
		}
		return 0
	}))
}

func eachBackend(of func(app.BackendStatus) int) func(app.RouterCounts, func(any, ...string)) {
	return func(c app.RouterCounts, line func(any, ...string)) {
		for _, b := range c.Backends {
			line(of(b), "app", b.App, "index", strconv.Itoa(b.Index), "addr", b.Address)
		}
	}
}

func (m metrics) tcp() {
	for _, v := range []struct {
		name, kind, help string
		of               func(c app.TCPCounts) any
	}{
		{"connections", "gauge", "Open connections of a TCP route.", func(c app.TCPCounts) any { return c.Open }},
		{"connections_total", "counter", "Connections of a TCP route.", func(c app.TCPCounts) any { return c.Total }},
		{"failed_total", "counter", "Those that no instance took, or that were too many.", func(c app.TCPCounts) any { return c.Failed }},
		{"received_bytes_total", "counter", "Bytes from the clients of a TCP route.", func(c app.TCPCounts) any { return c.Received }},
		{"sent_bytes_total", "counter", "Bytes to the clients of a TCP route.", func(c app.TCPCounts) any { return c.Sent }},
	} {
		m.family("lattice_router_tcp_"+v.name, v.kind, v.help, func(c app.RouterCounts, line func(any, ...string)) {
			for _, r := range c.TCP {
				labels := []string{"app", r.App, "port", strconv.Itoa(r.External)}
				if r.SNI != "" {
					labels = append(labels, "sni", r.SNI)
				}
				line(v.of(r), labels...)
			}
		})
	}
}
