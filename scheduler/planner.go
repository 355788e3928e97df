package scheduler

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"lattice/app"
)

// A Planner makes the plans of facts that change little from one to the next,
// in a time that goes by what has changed. Its plans are those that Plan makes
// of the same facts. It is not safe for concurrent use.
type Planner struct {
	revisions map[app.RevisionKey]*app.App
	orders    map[string]app.CellOrder
	images    map[string][]string
	leaving   map[string]app.Resources // by cell
	volumes   map[app.VolumeKey]string // by volume: its cell
	groups    map[string]*group
	avoiders  map[string]map[string]bool // by app: the apps that avoid it
	restless  map[string]*group          // that a plan must look at

	fleet *fleet
	turn
}

// turn is what becomes of one plan.
type turn struct {
	d        Decision
	missing  []wish // indices without a placement
	replaced []wish // indices whose placement is not good
	live     []*Placed
	reasons  map[refusalKey]refusal
}

// A wish is an instance to be placed.
type wish struct {
	group *group
	spec  *app.App
	index int
	old   *host // where the instance is whose place it takes
	from  *host // the draining cell it shall leave, if that is the only reason

	before *Placed // has a volume of it, and must have stopped first
}

// A group is an app with its placements.
type group struct {
	name   string
	app    *app.App // nil: it was removed
	placed []Placed // by index, the oldest first
	hosts  []*host  // where placed[i] is; nil: on a dead cell, or none we know
	took   []app.Resources
	added  []*host // where this plan placed an instance

	moving int  // indices that are changing to another revision
	stale  bool // a placement of another revision is left
	calm   bool // there is nothing to do and nothing to wait for
}

// NewPlanner returns a Planner without apps and cells. It reads revisions while
// it plans and while it is told of apps.
func NewPlanner(o Options, revisions map[app.RevisionKey]*app.App) *Planner {
	return &Planner{
		revisions: revisions, leaving: map[string]app.Resources{}, groups: map[string]*group{},
		avoiders: map[string]map[string]bool{}, restless: map[string]*group{}, fleet: newFleet(nil, o),
	}
}

// SetApp says how an app is now: what is wanted and what is placed. A nil app is
// one that was removed. The Planner keeps both; placed may come in any order.
func (p *Planner) SetApp(name string, a *app.App, placed []Placed) {
	g := p.groups[name]
	if g == nil {
		g = &group{name: name}
		p.groups[name] = g
	}
	p.unbook(g)
	p.setAvoided(g, a)
	if !slices.IsSortedFunc(placed, comparePlaced) {
		slices.SortFunc(placed, comparePlaced)
	}
	g.app, g.placed = a, placed
	p.book(g)
	p.restless[name] = g
	if a == nil && len(placed) == 0 {
		delete(p.groups, name)
		delete(p.restless, name)
	}
}

func (p *Planner) setAvoided(g *group, a *app.App) {
	if g.app != nil {
		for _, other := range g.app.Rules.Avoid {
			delete(p.avoiders[other], g.name)
		}
	}
	if a == nil {
		return
	}
	for _, other := range a.Rules.Avoid {
		if p.avoiders[other] == nil {
			p.avoiders[other] = map[string]bool{}
		}
		p.avoiders[other][g.name] = true
	}
}

// book takes the room of what is placed.
func (p *Planner) book(g *group) {
	g.hosts, g.took = g.hosts[:0], g.took[:0]
	for i := range g.placed {
		x := &g.placed[i]
		h := p.fleet.byID[x.Cell]
		if g.app == nil || h != nil && h.State == app.CellDead {
			h = nil
		}
		var need app.Resources
		if h != nil {
			if spec := p.spec(g, x.Revision); spec != nil {
				need = needs(spec)
			}
			p.fleet.book(h, need, 1)
			if x.Starting {
				p.fleet.begin(h, need, 1)
			}
		}
		g.hosts, g.took = append(g.hosts, h), append(g.took, need)
	}
}

func (p *Planner) unbook(g *group) {
	for i, h := range g.hosts {
		if h != nil {
			p.fleet.book(h, g.took[i], -1)
			if g.placed[i].Starting {
				p.fleet.begin(h, g.took[i], -1)
			}
		}
	}
	g.hosts = g.hosts[:0]
}

// spec returns the app as it was at a revision; without such, as it is now.
func (p *Planner) spec(g *group, revision uint64) *app.App {
	if a, ok := p.revisions[app.RevisionKey{App: g.name, Number: revision}]; ok {
		return a
	}
	return g.app
}

// SetCells says which cells there are, and the orders for draining ones.
func (p *Planner) SetCells(cells []app.Cell, orders map[string]app.CellOrder) {
	if len(cells) == len(p.fleet.cells) && maps.Equal(orders, p.orders) && !slices.ContainsFunc(cells, p.news) {
		return
	}
	p.orders = maps.Clone(orders)
	p.fleet = newFleet(cells, p.fleet.Options)
	p.fleet.images = imagesOf(p.fleet, p.images)
	for cell, r := range p.leaving {
		if h := p.fleet.byID[cell]; h != nil {
			p.fleet.book(h, r, 1)
		}
	}
	for name, g := range p.groups {
		p.book(g)
		p.restless[name] = g
	}
}

// news reports whether a cell is not as the fleet has it.
func (p *Planner) news(c app.Cell) bool {
	h := p.fleet.byID[c.ID]
	return h == nil || h.State != c.State || h.Draining != c.Draining || h.Zone != c.Zone || h.Capacity != c.Capacity || h.Trusting != c.Trusting || !maps.Equal(h.Labels, c.Labels)
}

// SetImages says which images each cell has.
func (p *Planner) SetImages(byCell map[string][]string) {
	p.images = byCell
	p.fleet.images = imagesOf(p.fleet, byCell)
}

// SetLeaving says what is taken on a cell by instances that are not placed any more.
func (p *Planner) SetLeaving(cell string, r app.Resources) {
	if h := p.fleet.byID[cell]; h != nil {
		p.fleet.book(h, p.leaving[cell], -1)
		p.fleet.book(h, r, 1)
	}
	if p.leaving[cell] = r; r == (app.Resources{}) {
		delete(p.leaving, cell)
	}
}

// Plan returns what has to change. tasks are all that have not ended.
func (p *Planner) Plan(tasks []Task) Decision {
	p.turn = turn{reasons: map[refusalKey]refusal{}}
	for _, h := range p.fleet.cells {
		h.moving = 0
	}
	groups := slices.SortedFunc(maps.Values(p.restless), func(a, b *group) int { return strings.Compare(a.name, b.name) })
	for _, g := range groups {
		p.settle(g)
	}
	p.fleet.forget()
	waiting := p.bookTasks(tasks)
	first, rest := rank(p.missing)
	p.place(first)
	p.placeTasks(waiting)
	p.place(rest)
	p.place(p.affordable())
	p.fleet.undo()
	for _, g := range groups {
		if g.added = g.added[:0]; g.calm {
			delete(p.restless, g.name)
		}
	}
	d := p.d
	p.turn = turn{}
	return d
}

// place finds cells for wishes, most important first.
func (p *Planner) place(ws []wish) {
	var g *group
	var spec *app.App
	p.d.Start = slices.Grow(p.d.Start, len(ws))
	for _, w := range ws {
		if w.group != g || w.spec != spec {
			if g != nil {
				p.fleet.leave()
			}
			g, spec = w.group, w.spec
			p.enter(g, spec)
		}
		p.placeOne(w)
	}
	if g != nil {
		p.fleet.leave()
	}
}

// enter prepares the fleet for instances of an app.
func (p *Planner) enter(g *group, spec *app.App) {
	p.fleet.enter(spec, false)
	p.fleet.addAll(g)
	for _, other := range spec.Rules.Avoid {
		p.fleet.shun(p.groups[other])
	}
	for other := range p.avoiders[g.name] {
		p.fleet.shun(p.groups[other])
	}
}

func (p *Planner) placeOne(w wish) {
	h, r := p.choose(w)
	if h == nil {
		p.d.Refused = append(p.d.Refused, Refusal{App: w.spec.Name, Index: w.index, Waits: r.waits, Reason: r.reason})
		return
	}
	if w.before != nil && !p.yields(w) {
		return
	}
	p.fleet.try(booking{h: h, need: p.more(w, h), starts: true})
	p.fleet.take(h)
	if cap(w.group.added) == 0 {
		w.group.added = make([]*host, 0, w.group.app.Wanted())
	}
	w.group.added = append(w.group.added, h)
	p.d.Start = append(p.d.Start, app.Placement{App: w.spec.Name, Index: w.index, Cell: h.ID, Revision: w.spec.Revision})
}

// choose returns the cell to take, or why there is none.
func (p *Planner) choose(w wish) (*host, refusal) {
	if p.fleet.braked() {
		return nil, p.why(w.spec)
	}
	if home, bound := p.home(w.spec, w.index); bound {
		return p.atHome(w, home)
	}
	if h := p.fleet.best(w.old); h != nil {
		return h, refusal{}
	}
	return nil, p.why(w.spec)
}

// rank returns wishes by importance: the first of every app, then the others,
// in each part larger before smaller. They come by app and index, so it sorts
// runs of them.
func rank(ws []wish) (first, rest []wish) {
	ranked, runs := make([]wish, 0, len(ws)), []span{}
	for lo := 0; lo < len(ws); {
		hi := lo + 1
		for ws[lo].index > 0 && hi < len(ws) && ws[hi].spec == ws[lo].spec && ws[hi].group == ws[lo].group {
			hi++
		}
		runs = append(runs, span{&ws[lo], lo, hi})
		lo = hi
	}
	slices.SortFunc(runs, func(a, b span) int {
		if c := cmp.Compare(min(a.head.index, 1), min(b.head.index, 1)); c != 0 {
			return c
		}
		if c := cmp.Compare(b.head.spec.MemoryMB, a.head.spec.MemoryMB); c != 0 {
			return c
		}
		return cmp.Compare(a.lo, b.lo)
	})
	n := 0
	for _, r := range runs {
		ranked = append(ranked, ws[r.lo:r.hi]...)
		if r.head.index == 0 {
			n = len(ranked)
		}
	}
	return ranked[:n], ranked[n:]
}

// A span is some wishes of one app.
type span struct {
	head   *wish
	lo, hi int
}
