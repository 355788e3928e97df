package scheduler

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"lattice/app"
)

// why says why a spec fits on no cell, in one sentence, and whether it only
// waits until fewer instances are starting.
func (p *Planner) why(spec *app.App) refusal {
	if p.fleet.braked() {
		return refusal{true, fmt.Sprintf("waits for its turn: %s starting, and no more may at the same time", count(p.fleet.starting, "instance is", "instances are"))}
	}
	key := refusalKey{need: needs(spec)}
	if spec.Rules.Any() || spec.Privileged {
		key.spec = spec
	}
	r, known := p.reasons[key]
	if !known {
		s := p.fleet.survey(spec, p.fleet.cells)
		r = refusal{s.waits(), s.String()}
		p.reasons[key] = r
	}
	return r
}

// A refusalKey is what a refusal goes by while nothing gets more room.
type refusalKey struct {
	need app.Resources
	spec *app.App // only if it has rules
}

type refusal struct {
	waits  bool
	reason string
}

// A survey is how the cells look to an instance that fits on none.
type survey struct {
	need  app.Resources
	cells int

	out   map[string]int // cells that can't be considered, by what is said of them
	order []string       // of out
	open  []*host        // the others
	braked,
	limit int
}

func (f *fleet) survey(spec *app.App, cells []*host) *survey {
	s := &survey{need: needs(spec), cells: len(cells), out: map[string]int{}, limit: f.MaxStartsPerCell}
	for _, h := range cells {
		why := ""
		switch {
		case h.State == app.CellSuspect:
			why = "does not answer|do not answer"
		case h.State == app.CellDead:
			why = "is dead|are dead"
		case h.Draining:
			why = "is draining|are draining"
		case f.barred[h.at] > 0:
			why = "runs an app that it must not meet|run apps that it must not meet"
		case f.count[h.at] > 0 && spec.Rules.OnePerCell:
			why = "runs one of its instances already|run one of its instances already"
		default:
			switch lack := spec.Lacking(h.Cell); {
			case lack == "":
			case lack == app.LacksTrust:
				why = "does not allow privileged apps|do not allow privileged apps"
			case strings.HasPrefix(lack, "zone"):
				why = "is not in " + lack + "|are not in " + lack
			default:
				why = "lacks " + lack + "|lack " + lack
			}
		}
		if why == "" {
			s.add(h, f.MaxStartsPerCell)
			continue
		}
		if s.out[why]++; s.out[why] == 1 {
			s.order = append(s.order, why)
		}
	}
	return s
}

func (s *survey) add(h *host, starts int) {
	s.open = append(s.open, h)
	if starts > 0 && h.starting >= starts && s.fits(h) {
		s.braked++
	}
}

func (s *survey) fits(h *host) bool {
	return !slices.ContainsFunc(kinds(), func(k kind) bool { return k.free(h) < k.of(s.need) })
}

// waits reports whether a cell has room and only too many instances starting.
func (s *survey) waits() bool { return s.braked > 0 }

// String says what is needed, what the cells have, and why some don't count:
// "needs 512 MiB memory; the most any of 3 cells has free is 128 MiB memory
// (cell-2); 1 cell is draining, 1 lacks label gpu=true".
func (s *survey) String() string {
	switch {
	case s.cells == 0:
		return "no cell has joined yet"
	case s.waits():
		return fmt.Sprintf("waits for its turn: %s room, but %s starting on each already", count(s.braked, "cell has", "cells have"), count(s.limit, "instance is", "instances are"))
	}
	parts := []string{s.needs()}
	for _, k := range kinds() {
		parts = append(parts, s.short(k)...)
	}
	var out []string
	for i, why := range s.order {
		one, many, _ := strings.Cut(why, "|")
		if i == 0 {
			one, many = "cell "+one, "cells "+many
		}
		out = append(out, count(s.out[why], one, many))
	}
	if len(out) > 0 {
		parts = append(parts, strings.Join(out, ", "))
	}
	return strings.Join(parts, "; ")
}

func (s *survey) needs() string {
	var all []string
	for _, k := range kinds() {
		if n := k.of(s.need); n > 0 && k.name != "containers" {
			all = append(all, k.show(n))
		}
	}
	switch last := len(all) - 1; {
	case last < 0:
		return "needs a cell"
	case last == 0:
		return "needs " + all[0]
	default:
		return "needs " + strings.Join(all[:last], ", ") + " and " + all[last]
	}
}

// short says how much is missing of one kind.
func (s *survey) short(k kind) []string {
	var most *host
	n, all := 0, len(s.open)
	for _, h := range s.open {
		if k.free(h) < k.of(s.need) {
			if n++; most == nil || k.free(h) > k.free(most) {
				most = h
			}
		}
	}
	switch {
	case n == 0:
		return nil
	case k.name == "containers" && all == 1:
		return []string{fmt.Sprintf("%s runs its %d containers already", most.ID, most.Capacity.Containers)}
	case k.name == "containers":
		return []string{fmt.Sprintf("%d of %d cells run as many containers as they may", n, all)}
	case all == 1:
		return []string{fmt.Sprintf("%s has %s free", most.ID, k.show(max(0, k.free(most))))}
	case n < all:
		return []string{fmt.Sprintf("%d of %d cells have too little %s, at most %s (%s)", n, all, k.name, k.show(max(0, k.free(most))), most.ID)}
	}
	return []string{fmt.Sprintf("the most any of %d cells has free is %s (%s)", all, k.show(max(0, k.free(most))), most.ID)}
}

// A kind is a kind of resource.
type kind struct {
	name string
	of   func(app.Resources) int
	show func(int) string
}

func (k kind) free(h *host) int { return k.of(h.Capacity) - k.of(h.Used) }

func kinds() []kind {
	return []kind{
		{"memory", func(r app.Resources) int { return r.MemoryMB }, func(n int) string { return fmt.Sprint(n, " MiB memory") }},
		{"disk", func(r app.Resources) int { return r.DiskMB }, func(n int) string { return fmt.Sprint(n, " MiB disk") }},
		{"cpu", func(r app.Resources) int { return r.CPUMilli }, cores},
		{"containers", func(r app.Resources) int { return r.Containers }, nil},
	}
}

// cores writes thousandths of a core.
func cores(milli int) string {
	text := strconv.FormatFloat(float64(milli)/1000, 'f', -1, 64)
	if milli == 1000 {
		return text + " core"
	}
	return text + " cores"
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprint(n, " ", many)
}
