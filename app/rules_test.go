package app_test

import (
	"strings"
	"testing"

	"lattice/app"
)

func TestRules(t *testing.T) {
	c := app.Cell{ID: "a", Zone: "z1", Labels: map[string]string{"disk": "ssd", "gpu": ""}}
	for _, tt := range []struct {
		rules   app.Rules
		lacking string
		misses  int
	}{
		{app.Rules{}, "", 0},
		{app.Rules{Require: map[string]string{"disk": "ssd", "gpu": app.AnyValue}}, "", 0},
		{app.Rules{Require: map[string]string{"disk": "hdd"}}, "label disk=hdd", 0},
		{app.Rules{Require: map[string]string{"tpu": app.AnyValue}}, "label tpu=*", 0},
		{app.Rules{Zones: []string{"z1", "z2"}}, "", 0},
		{app.Rules{Zones: []string{"z2", "z3"}}, "zone z2 or z3", 0},
		{app.Rules{Prefer: map[string]string{"disk": "hdd", "gpu": "", "tpu": "1"}}, "", 2},
	} {
		if got, misses := tt.rules.Lacking(c), tt.rules.Misses(c); got != tt.lacking || misses != tt.misses || tt.rules.Admits(c) != (got == "") {
			t.Errorf("%+v: lacking %q, misses %d, want %q, %d", tt.rules, got, misses, tt.lacking, tt.misses)
		}
	}
}

func TestRulesAreCheckedAndMadeEqual(t *testing.T) {
	a := app.App{Name: "web", Image: "nginx"}.WithDefaults()
	b := a
	b.Rules = app.Rules{Require: map[string]string{}, Zones: []string{}, Avoid: []string{"db", "cache", "db"}}
	if b = b.WithDefaults(); b.Rules.Require != nil || b.Rules.Zones != nil || strings.Join(b.Rules.Avoid, " ") != "cache db" {
		t.Errorf("got %+v, want the rules without what is empty or doubled", b.Rules)
	}
	if err := b.Validate(); err != nil {
		t.Error(err)
	}
	for _, r := range []app.Rules{
		{Avoid: []string{"web"}}, {Avoid: []string{"no name"}}, {Zones: []string{""}}, {Require: map[string]string{"": "x"}},
		{Prefer: map[string]string{"x": strings.Repeat("y", 200)}}, {Zones: strings.Split(strings.Repeat("z ", 40), " ")},
	} {
		c := a
		c.Rules = r
		if c.Validate() == nil {
			t.Errorf("%+v is accepted", r)
		}
	}
}
