package manifest

import (
	"encoding"
	"encoding/json"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"lattice/app"
)

const (
	maxNodes = 100_000 // of a document, with all its aliases written out
	nullTag  = "!!null"
	mergeTag = "!!merge"
)

// weight counts the values that n stands for, up to a bit more than maxNodes.
func weight(n *yaml.Node, known map[*yaml.Node]int) int {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if w, ok := known[n]; ok {
		return w
	}
	known[n] = maxNodes + 1 // an alias of what it is in has no end
	total := 1
	for _, c := range n.Content {
		total = min(total+weight(c, known), maxNodes+1)
	}
	known[n] = total
	return total
}

// target returns what n is, or is an alias of.
func target(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// A pair is a field of a group.
type pair struct{ key, value *yaml.Node }

// fields returns the fields of a group, those that are merged in ("<<") before
// its own, so that its own count.
func fields(n *yaml.Node) []pair {
	n = target(n)
	if n.Kind != yaml.MappingNode {
		return nil
	}
	var merged, own []pair
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Tag != mergeTag {
			own = append(own, pair{key, value})
			continue
		}
		from := []*yaml.Node{value}
		if v := target(value); v.Kind == yaml.SequenceNode {
			from = v.Content
		}
		for i := len(from) - 1; i >= 0; i-- { // the first one counts
			merged = append(merged, fields(from[i])...)
		}
	}
	return append(merged, own...)
}

// Has reports whether n is a group with a field of that name.
func Has(n *yaml.Node, name string) bool {
	for _, f := range fields(n) {
		if f.key.Value == name {
			return true
		}
	}
	return false
}

// read decodes n into the value to which into points, by its JSON names. Texts
// are taken as they are written, so that 1.10 stays that. A field of type
// yaml.Node is left for later.
func read(n *yaml.Node, into any) error { return fill(n, reflect.ValueOf(into).Elem(), "") }

// fill decodes n into v, which is called what.
func fill(n *yaml.Node, v reflect.Value, what string) error {
	n = target(n)
	if v.Type() == reflect.TypeFor[yaml.Node]() {
		v.Set(reflect.ValueOf(*n))
		return nil
	}
	if n.Tag == nullTag {
		return nil // as if it were not there
	}
	if _, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return fillText(n, v, what)
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		return fill(n, v.Elem(), what)
	case reflect.Struct:
		return fillStruct(n, v, what)
	case reflect.Map:
		return fillMap(n, v, what)
	case reflect.Slice:
		return fillSlice(n, v, what)
	case reflect.String:
		if n.Kind != yaml.ScalarNode {
			return wrong(n, what, "a text")
		}
		v.SetString(n.Value)
		return nil
	}
	return fillScalar(n, v, what)
}

func fillText(n *yaml.Node, v reflect.Value, what string) error {
	if n.Kind != yaml.ScalarNode {
		return wrong(n, what, "a text")
	}
	if err := v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(n.Value)); err != nil {
		return app.Invalid("line %d: %s: %v", n.Line, what, err)
	}
	return nil
}

// fillScalar decodes a number or a truth value.
func fillScalar(n *yaml.Node, v reflect.Value, what string) error {
	kind := map[reflect.Kind]string{reflect.Bool: "true or false", reflect.Float64: "a number"}[v.Kind()]
	if kind == "" {
		kind = "a whole number"
	}
	quoted := n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0
	if n.Kind != yaml.ScalarNode || quoted || json.Unmarshal([]byte(n.Value), v.Addr().Interface()) != nil {
		return wrong(n, what, kind)
	}
	return nil
}

func fillStruct(n *yaml.Node, v reflect.Value, what string) error {
	if n.Kind != yaml.MappingNode {
		return wrong(n, what, "a group of fields")
	}
	if err := once(n); err != nil {
		return err
	}
	for _, f := range fields(n) {
		i := fieldNamed(v.Type(), f.key.Value)
		if i < 0 {
			return app.Invalid("line %d: there is no field %.100q here: it can have %s", f.key.Line, f.key.Value, strings.Join(without(names(v.Type()), brains), ", "))
		}
		v.Field(i).SetZero() // of what was merged in
		if err := fill(f.value, v.Field(i), f.key.Value); err != nil {
			return err
		}
	}
	return nil
}

func fillMap(n *yaml.Node, v reflect.Value, what string) error {
	if n.Kind != yaml.MappingNode {
		return wrong(n, what, "a group of NAME: VALUE")
	}
	if err := once(n); err != nil {
		return err
	}
	v.Set(reflect.MakeMap(v.Type()))
	for _, f := range fields(n) {
		e := reflect.New(v.Type().Elem()).Elem()
		if err := fill(f.value, e, f.key.Value); err != nil {
			return err
		}
		v.SetMapIndex(reflect.ValueOf(f.key.Value).Convert(v.Type().Key()), e)
	}
	return nil
}

func fillSlice(n *yaml.Node, v reflect.Value, what string) error {
	if n.Kind != yaml.SequenceNode {
		return wrong(n, what, "a list")
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	for i, c := range n.Content {
		if err := fill(c, v.Index(i), what); err != nil {
			return err
		}
	}
	return nil
}

// once refuses a group that has a field twice.
func once(n *yaml.Node) error {
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if seen[key.Value] && key.Tag != mergeTag {
			return app.Invalid("line %d: %.100q is there twice", key.Line, key.Value)
		}
		seen[key.Value] = true
	}
	return nil
}

func wrong(n *yaml.Node, what, kind string) error {
	if what == "" {
		return app.Invalid("line %d: %s is needed here", n.Line, kind)
	}
	return app.Invalid("line %d: %.100s must be %s", n.Line, what, kind)
}

// fieldNamed returns the index of the field with that JSON name, or -1.
func fieldNamed(t reflect.Type, name string) int {
	for i, n := range names(t) {
		if n == name {
			return i
		}
	}
	return -1
}

// names returns the JSON names of the fields of t.
func names(t reflect.Type) []string {
	all := make([]string, t.NumField())
	for i := range all {
		all[i], _, _ = strings.Cut(t.Field(i).Tag.Get("json"), ",")
	}
	return all
}

// without returns the ones of all that are not among others.
func without(all, others []string) []string {
	return slices.DeleteFunc(all, func(s string) bool { return slices.Contains(others, s) })
}

var yamlLine = regexp.MustCompile(`line \d+`)

// syntax tells where the file is no YAML, and not what stands there.
func syntax(err error) error {
	if line := yamlLine.FindString(err.Error()); line != "" {
		return app.Invalid("%s: no YAML or JSON can be read here: is it indented as it should be, and is each quote closed?", line)
	}
	return app.Invalid("it is neither YAML nor JSON")
}
