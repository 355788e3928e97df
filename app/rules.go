package app

import (
	"maps"
	"slices"
)

// MaxRules bounds each list of Rules.
const MaxRules = 32

// Rules say which cells may run an app, and which shall if they can.
type Rules struct {
	Require    map[string]string `json:"require,omitempty"`      // labels that a cell must have; "*" as a value: the label, whatever its value
	Prefer     map[string]string `json:"prefer,omitempty"`       // labels of cells that come first
	Zones      []string          `json:"zones,omitempty"`        // no others; empty: all
	Avoid      []string          `json:"avoid,omitempty"`        // apps that it must not share a cell with
	OnePerCell bool              `json:"one_per_cell,omitempty"` // two instances are never on one cell, but while one replaces the other
}

// AnyValue stands for any value of a label in Rules.
const AnyValue = "*"

// Any reports whether there are any.
func (r Rules) Any() bool {
	return len(r.Require)+len(r.Prefer)+len(r.Zones)+len(r.Avoid) > 0 || r.OnePerCell
}

// Admits reports whether labels and zone of a cell are as r wants them.
func (r Rules) Admits(c Cell) bool { return r.Lacking(c) == "" }

// Lacking says what label or zone r wants that a cell has not, such as "label
// gpu=true" or "zone z1 or z2"; empty: none.
func (r Rules) Lacking(c Cell) string {
	for _, k := range slices.Sorted(maps.Keys(r.Require)) {
		if v := r.Require[k]; !hasLabel(c, k, v) {
			return "label " + k + "=" + v
		}
	}
	if len(r.Zones) == 0 {
		return ""
	}
	want := ""
	for i, z := range r.Zones {
		if z == c.Zone {
			return ""
		}
		if i > 0 {
			want += " or "
		}
		want += z
	}
	return "zone " + want
}

// LacksTrust is what App.Lacking says of a cell that allows no privileged apps.
const LacksTrust = "leave for privileged apps"

// Lacking says what a wants of a cell that c has not, beside room; empty: nothing.
func (a *App) Lacking(c Cell) string {
	if a.Privileged && !c.Trusting {
		return LacksTrust
	}
	return a.Rules.Lacking(c)
}

// Misses returns how many of the labels that r prefers a cell has not.
func (r Rules) Misses(c Cell) int {
	n := 0
	for k, v := range r.Prefer {
		if !hasLabel(c, k, v) {
			n++
		}
	}
	return n
}

func hasLabel(c Cell, key, value string) bool {
	v, ok := c.Labels[key]
	return ok && (value == AnyValue || v == value)
}

// normal returns r so that equal rules look equal. It shares no memory with r.
func (r Rules) normal() Rules {
	r.Require, r.Prefer = someLabels(r.Require), someLabels(r.Prefer)
	r.Zones, r.Avoid = set(r.Zones), set(r.Avoid)
	return r
}

func someLabels(labels map[string]string) map[string]string {
	if len(labels) == 0 {
		return nil
	}
	return maps.Clone(labels)
}

// set returns words in order, each once.
func set(words []string) []string {
	if len(words) == 0 {
		return nil
	}
	return slices.Compact(slices.Sorted(slices.Values(words)))
}

func (p *problems) rules(a App) {
	r := a.Rules
	if most := max(len(r.Require), len(r.Prefer), len(r.Zones), len(r.Avoid)); most > MaxRules {
		p.add("the rules have a list of %d: at most %d labels, zones or apps are possible", most, MaxRules)
	}
	for _, labels := range []map[string]string{r.Require, r.Prefer} {
		for _, k := range slices.Sorted(maps.Keys(labels)) {
			if k == "" || len(k)+len(labels[k]) > 2*MaxNameBytes {
				p.add("the rules name the label %s, which no cell can have: a label is a name and a value of at most %d characters together", quote(k), 2*MaxNameBytes)
			}
		}
	}
	for _, zone := range r.Zones {
		if zone == "" || len(zone) > MaxNameBytes {
			p.add("the rules name the zone %s, which no cell can be in: at most %d characters are possible", quote(zone), MaxNameBytes)
		}
	}
	for _, other := range r.Avoid {
		switch {
		case other == a.Name:
			p.add("the app is to avoid itself: say one per cell for that")
		case !isLabel(other):
			p.add("the app is to avoid %s, which is no name of an app", quote(other))
		}
	}
}
