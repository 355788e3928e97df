package cli

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"lattice/app"
)

// ruleFlags are the flags that say where an app may run. An empty value is for
// taking back what was said before.
type ruleFlags struct {
	cpus                          float64
	require, prefer, zones, avoid []string
	onePerCell                    bool
}

func (f *ruleFlags) register(fl *pflag.FlagSet) {
	fl.Float64Var(&f.cpus, "cpus", 0, "`CORES` that a cell must have left for an instance, such as 0.5; 0: none")
	fl.StringArrayVar(&f.require, "require", nil, "only on cells with the label `KEY=VALUE`, or KEY for any value; may be repeated")
	fl.StringArrayVar(&f.prefer, "prefer", nil, "rather on cells with the label `KEY=VALUE`; may be repeated")
	fl.StringArrayVar(&f.zones, "zone", nil, "only in `ZONE`; may be repeated for several")
	fl.StringArrayVar(&f.avoid, "avoid", nil, "never on one cell with `APP`; may be repeated")
	fl.BoolVar(&f.onePerCell, "one-per-cell", false, "never two instances on one cell")
}

// rules puts what was asked for into a.
func (f *ruleFlags) rules(a *app.App) (err error) {
	a.CPUMilli = int(f.cpus*1000 + 0.5)
	if f.cpus < 0 {
		return fmt.Errorf("--cpus %v: it can't be less than 0", f.cpus)
	}
	a.Rules = app.Rules{Zones: someWords(f.zones), Avoid: someWords(f.avoid), OnePerCell: f.onePerCell}
	if a.Rules.Require, err = labelsOf("require", f.require); err != nil {
		return err
	}
	a.Rules.Prefer, err = labelsOf("prefer", f.prefer)
	return err
}

// ruleFields are fields for these flags.
func ruleFields(a *app.App, asked app.App) map[string]func() {
	return map[string]func(){
		"cpus":         func() { a.CPUMilli = asked.CPUMilli },
		"require":      func() { a.Rules.Require = asked.Rules.Require },
		"prefer":       func() { a.Rules.Prefer = asked.Rules.Prefer },
		"zone":         func() { a.Rules.Zones = asked.Rules.Zones },
		"avoid":        func() { a.Rules.Avoid = asked.Rules.Avoid },
		"one-per-cell": func() { a.Rules.OnePerCell = asked.Rules.OnePerCell },
	}
}

func someWords(words []string) []string {
	return slices.DeleteFunc(slices.Clone(words), func(s string) bool { return s == "" })
}

func labelsOf(flag string, texts []string) (map[string]string, error) {
	all := map[string]string{}
	for _, text := range someWords(texts) {
		key, value, ok := strings.Cut(text, "=")
		if key == "" {
			return nil, fmt.Errorf("--%s %q: write KEY=VALUE or KEY", flag, text)
		}
		if !ok {
			value = app.AnyValue
		}
		all[key] = value
	}
	return all, nil
}

// rulesText says where an app may run.
func rulesText(r app.Rules) string {
	var parts []string
	add := func(what string, words []string) {
		if len(words) > 0 {
			parts = append(parts, what+" "+strings.Join(words, ", "))
		}
	}
	add("requires", labelTexts(r.Require))
	add("prefers", labelTexts(r.Prefer))
	add("zones", r.Zones)
	add("avoids", r.Avoid)
	if r.OnePerCell {
		parts = append(parts, "one per cell")
	}
	return strings.Join(parts, "; ")
}

func labelTexts(labels map[string]string) []string {
	texts := make([]string, 0, len(labels))
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		if v := labels[k]; v != app.AnyValue {
			k += "=" + v
		}
		texts = append(texts, k)
	}
	return texts
}

// coresText writes thousandths of a core.
func coresText(milli int) string {
	if milli == 0 {
		return "none"
	}
	return strconv.FormatFloat(float64(milli)/1000, 'f', -1, 64) + " cores"
}
