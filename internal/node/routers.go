package node

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"lattice/app"
	"lattice/cluster"
	"lattice/router"
)

// routers is what the brain knows of the routers on cells. An instance must not
// be stopped while one of them may lead requests to it, so each says which
// version of the table it goes by.
type routers struct {
	mu      sync.Mutex // guards what follows
	all     map[string]*remote
	version uint64 // of the last Routing; other than those of a brain before
}

// A remote is a router on a cell.
type remote struct {
	there   bool   // gossip knows it, and that it is alive
	stream  uint64 // number of the stream that it listens to; 0: none
	sent    []sent // that it has not confirmed
	asOf    time.Time
	leaving map[string]int // open requests, by instance that it leads to no more
	counts  app.RouterCounts
}

// sent is a Routing that was sent. When the router goes by it, it knows what was
// so at that time.
type sent struct {
	version uint64
	at      time.Time
}

func newRouters() *routers {
	return &routers{all: map[string]*remote{}, version: uint64(time.Now().UnixNano())}
}

// expect takes note of which cells are there that have a router.
func (r *routers) expect(cells []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, x := range r.all {
		x.there = false
	}
	for _, cell := range cells {
		r.of(cell).there = true
	}
	maps.DeleteFunc(r.all, func(_ string, x *remote) bool { return !x.there && x.stream == 0 })
}

func (r *routers) of(cell string) *remote {
	x := r.all[cell]
	if x == nil {
		x = &remote{}
		r.all[cell] = x
	}
	return x
}

// begin begins a stream to a router, which takes the place of a former one.
func (r *routers) begin(cell string) (stream uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.version++
	x := r.of(cell)
	x.stream, x.sent = r.version, nil
	return x.stream
}

// end ends a stream. What the router said last holds as long as it is there.
func (r *routers) end(cell string, stream uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if x := r.all[cell]; x != nil && x.stream == stream {
		x.stream = 0
		if !x.there {
			delete(r.all, cell)
		}
	}
}

// tell returns the version of a Routing that is about to be sent and says what
// was so at that time.
func (r *routers) tell(cell string, stream uint64, at time.Time) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.version++
	if x := r.all[cell]; x != nil && x.stream == stream {
		x.sent = append(x.sent, sent{r.version, at})
	}
	return r.version
}

// still notes that what was sent last is so at a later time, too.
func (r *routers) still(cell string, stream uint64, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	x := r.all[cell]
	switch {
	case x == nil || x.stream != stream:
	case len(x.sent) > 0:
		x.sent[len(x.sent)-1].at = at
	default:
		x.asOf = at
	}
}

// report takes what a router tells of itself.
func (r *routers) report(report app.RouterReport) {
	r.mu.Lock()
	defer r.mu.Unlock()
	x := r.all[report.Cell]
	if x == nil {
		return // it has yet to be told what to go by, and reports again then
	}
	for len(x.sent) > 0 && x.sent[0].version <= report.Version {
		x.asOf = x.sent[0].at
		x.sent = x.sent[1:]
	}
	x.leaving = report.Leaving
	if report.Counts != nil {
		x.counts = *report.Counts
	}
}

// open returns how many requests an instance has that was taken out of the routes
// at that time. A router that may not know yet counts as one.
func (r *routers) open(instance string, out time.Time) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, x := range r.all {
		if n += x.leaving[instance]; x.there && x.asOf.Before(out) {
			n++
		}
	}
	return n
}

// counts returns what the routers have counted, by cell.
func (r *routers) counts() map[string]app.RouterCounts {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make(map[string]app.RouterCounts, len(r.all))
	for cell, x := range r.all {
		all[cell] = x.counts
	}
	return all
}

// keepRouters keeps up with which cells have a router.
func (b *brain) keepRouters(ctx context.Context) error {
	for {
		moved, changed := b.members.Changed(), b.secrets.Changed()
		var there []string
		for _, c := range cluster.Cells(b.members.Members()) {
			if c.Router && c.State != app.CellDead && b.welcome(c.ID) {
				there = append(there, c.ID)
			}
		}
		b.routers.expect(there)
		select {
		case <-ctx.Done():
			return nil
		case <-moved:
		case <-changed:
		}
	}
}

// openRequests is scheduler.Config.Open.
func (b *brain) openRequests(in app.Instance, out time.Time) int {
	instance := cmp.Or(in.GUID, in.ID)
	return b.inFlight(instance) + b.routers.open(instance, out)
}

// cutOff is how often in a row no connection to an instance can be made before
// that is an event. Until then it may have crashed, of which its cell will tell.
const cutOff = 3

// tellUnreachable is router.Options.OnUnreachable.
func (b *brain) tellUnreachable(to *router.Backend, times int) {
	if times >= cutOff {
		b.journal.Emit(app.Event{Kind: app.InstanceCutOff, App: to.App, Index: to.Index, GUID: to.Instance,
			Message: fmt.Sprintf("the router can't connect to it at %s, though its cell calls it healthy: is there a firewall between them?", to.Addr)})
	}
}

// allCounts returns what all routers have counted; that of this process is "".
func (b *brain) allCounts() map[string]app.RouterCounts {
	all := b.routers.counts()
	all[""] = b.counts()
	return all
}

// totals returns the requests of each app, by router.
func (b *brain) totals() map[string]map[string]router.Totals {
	all := map[string]map[string]router.Totals{}
	for name, c := range b.allCounts() {
		all[name] = router.TotalsOf(c)
	}
	return all
}

// cellRouters is api.Routers.
type cellRouters struct{ b *brain }

// toldEvery is the shortest pause between two things that a router is told.
const toldEvery = 5 * time.Millisecond

// FollowRouting tells nothing before the brain itself knows what the cells run:
// what the router has from before is better.
func (c cellRouters) FollowRouting(ctx context.Context, cell string, fn func(app.Routing) error) error {
	b := c.b
	b.waitForTable(ctx)
	feed, stream := b.sched.NewFeed(), b.routers.begin(cell)
	defer feed.Close()
	defer b.routers.end(cell, stream)
	for whole := true; ; whole = false {
		began := time.Now()
		changed := b.sched.Changed()
		apps, gone := feed.Next()
		if !whole && len(apps)+len(gone) == 0 {
			b.routers.still(cell, stream, began)
		} else {
			told := app.Routing{Version: b.routers.tell(cell, stream, began), Whole: whole, Gone: gone}
			if whole {
				told.Domain = b.cfg.Domain
			}
			for _, s := range apps {
				told.Apps = append(told.Apps, s.Routed())
			}
			if err := fn(told); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
		if !pause(ctx, min(max(toldEvery, 4*time.Since(began)), time.Second)) {
			return ctx.Err()
		}
	}
}

func (c cellRouters) ReportRouter(r app.RouterReport) error {
	c.b.routers.report(r)
	return nil
}

func (c cellRouters) AppsCertificate(cell string, csr []byte) ([]byte, error) {
	if !c.b.welcome(cell) {
		return nil, app.Unauthorized("the cell %s is not in the cluster any more", cell)
	}
	return c.b.appsCA.Sign(csr, c.b.cfg.CertificateLife)
}

// ingress is api.Router: the routes of all routers, those for TCP last.
type ingress struct{ b *brain }

func (i ingress) RouteStatuses() []app.RouteStatus {
	all := i.b.routeStatuses()
	for cell, counts := range i.b.routers.counts() {
		addCounts(all, cell, counts)
	}
	return all
}

// addCounts adds to routes what the router of a cell has counted for them.
func addCounts(all []app.RouteStatus, cell string, counts app.RouterCounts) {
	type place struct {
		instance string
		port     int
	}
	busy := map[place]app.BackendStatus{}
	for _, b := range counts.Backends {
		at := place{b.Instance, b.Port}
		b.InFlight += busy[at].InFlight
		busy[at] = b
	}
	for i := range all {
		for n := range all[i].Backends {
			b := &all[i].Backends[n]
			there := busy[place{b.Instance, b.Port}]
			b.InFlight += there.InFlight
			if there.Ejected {
				b.EjectedBy = append(b.EjectedBy, cell)
			}
		}
		for _, c := range counts.TCP {
			all[i].AddTCP(cell, c)
		}
	}
}
