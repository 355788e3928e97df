package router

import (
	"net/http"
	"slices"
	"strings"

	"lattice/app"
)

// headerRules change the header of requests or answers.
type headerRules struct {
	gone []string    // names of fields that are taken out
	put  [][2]string // fields that are put in
	text []byte      // the same, as they are written
}

// newHeaderRules returns what h comes to; nil if that is nothing.
func newHeaderRules(h *app.HeaderRules) *headerRules {
	if h == nil {
		return nil
	}
	rules := &headerRules{gone: slices.Clone(h.Remove)}
	for name, value := range h.Set {
		rules.gone = append(rules.gone, name)
		rules.put = append(rules.put, [2]string{name, value})
	}
	for name, value := range h.Add {
		rules.put = append(rules.put, [2]string{name, value})
	}
	slices.SortFunc(rules.put, func(a, b [2]string) int { return strings.Compare(a[0], b[0]) })
	for _, f := range rules.put {
		rules.text = append(append(append(append(rules.text, f[0]...), ": "...), f[1]...), "\r\n"...)
	}
	return rules
}

// takes reports whether a field is to be taken out.
func (h *headerRules) takes(name []byte) bool {
	if h == nil {
		return false
	}
	for _, g := range h.gone {
		if len(g) == len(name) && strings.EqualFold(g, text(name)) {
			return true
		}
	}
	return false
}

// apply changes the header of a message on the library's path.
func (h *headerRules) apply(to http.Header) {
	if h == nil {
		return
	}
	for _, name := range h.gone {
		to.Del(name)
	}
	for _, f := range h.put {
		to.Add(f[0], f[1])
	}
}
