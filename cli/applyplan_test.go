package cli

import (
	"strings"
	"testing"

	"lattice/app"
	"lattice/internal/manifest"
)

func TestPlanApply(t *testing.T) {
	live := func(name, set string, env map[string]string) app.Status {
		return app.Status{App: app.App{Name: name, Image: "x", Instances: 3, Set: set, Env: env, Revision: 4}}
	}
	spec := func(name string, unset ...string) manifest.Spec {
		return manifest.Spec{App: app.App{Name: name, Image: "x", Instances: 1}.WithDefaults(), Unset: unset}
	}
	leaving := app.Status{App: app.App{Name: "gone", Set: "s"}}
	for _, tt := range []struct {
		name  string
		set   string
		specs []manifest.Spec
		live  []app.Status
		prune bool
		want  string // actions, or the error
	}{
		{"nothing there", "s", []manifest.Spec{spec("a")}, nil, true, "create a set=s n=1"},
		{"unchanged, the number is not its matter", "s", []manifest.Spec{spec("a")}, []app.Status{live("a", "s", nil)}, false, "keep a set=s n=3"},
		{"made by hand stays so", "s", []manifest.Spec{spec("a")}, []app.Status{live("a", "", nil)}, true, "keep a set= n=3"},
		{"without a set", "", []manifest.Spec{spec("a")}, []app.Status{live("a", "s", nil)}, false, "keep a set=s n=3"},
		{"another set's", "s", []manifest.Spec{spec("a")}, []app.Status{live("a", "t", nil)}, false, "belongs to the set t"},
		{"prunes its own only", "s", []manifest.Spec{spec("a")}, []app.Status{live("b", "s", nil), live("c", "t", nil), live("d", "", nil), leaving}, true, "create a set=s n=1; remove b set= n=0"},
		{"prunes on request only", "s", []manifest.Spec{spec("a")}, []app.Status{live("b", "s", nil)}, false, "create a set=s n=1"},
		{"one that is on its way out is made anew", "s", []manifest.Spec{spec("gone")}, []app.Status{leaving}, true, "create gone set=s n=1"},
		{"a value stays", "s", []manifest.Spec{spec("a", "X")}, []app.Status{live("a", "s", map[string]string{"X": "1"})}, false, "keep a set=s n=3"},
		{"a value of the caller", "s", []manifest.Spec{spec("a", "HOME")}, nil, false, "create a set=s n=1"},
		{"a variable goes", "s", []manifest.Spec{spec("a")}, []app.Status{live("a", "s", map[string]string{"X": "1"})}, false, "update a set=s n=3"},
		{"no value", "s", []manifest.Spec{spec("a", "NIX")}, nil, false, "the variable NIX has no value"},
	} {
		steps, err := planApply(described{set: tt.set, specs: tt.specs}, tt.live, tt.prune, map[string]string{"HOME": "/h"})
		var got []string
		for _, s := range steps {
			got = append(got, string(s.Action)+" "+s.App+" set="+s.want.Set+" n="+string(rune('0'+s.want.Instances)))
		}
		if err != nil {
			got = []string{err.Error()}
		}
		if text := strings.Join(got, "; "); text != tt.want && (err == nil || !strings.Contains(text, tt.want)) {
			t.Errorf("%s: got %q, want %q", tt.name, text, tt.want)
		}
	}
}
