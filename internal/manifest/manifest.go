// Package manifest reads and writes files that describe apps: our own, which
// have the fields of app.App by their JSON names in YAML or JSON, and those that
// Lattice's submit-lrp took. It asks nobody; what it returns is not yet checked
// as app.App.Validate does. No error shows a value of an environment.
package manifest

import (
	"bytes"
	"errors"
	"io"
	"slices"

	"go.yaml.in/yaml/v3"

	"lattice/app"
)

// MaxBytes bounds what is read of one file.
const MaxBytes = 1 << 20

// A Spec is an app as a file describes it.
type Spec struct {
	App app.App // with its defaults; Env has only the variables that have a value

	// Unset are the variables that are named without a value: it stays what it
	// is, or is taken from the environment of whoever applies the file.
	Unset []string

	Scaled bool     // the file says how many instances; else it is not its matter
	Build  *Build   // its image is built first; nil: it is there
	Needs  []string // names of the apps of the same files that must be healthy first
}

// A Build says of which folder an image is made, and how. App.Image has its name.
type Build struct {
	Dir string
	app.Build
}

// Parse returns the apps of a file in our own format, in its order: documents
// with one app each, or with a list of them under "apps". Unknown fields are
// errors, and so are those that the brain sets.
func Parse(data []byte) ([]Spec, error) {
	docs, err := documents(data)
	if err != nil {
		return nil, err
	}
	var all []Spec
	for _, doc := range docs {
		if Has(doc, "apps") {
			var d struct {
				Apps []yaml.Node `json:"apps"`
			}
			if err := read(doc, &d); err != nil {
				return nil, err
			}
			for i := range d.Apps {
				if all, err = appendSpec(all, &d.Apps[i]); err != nil {
					return nil, err
				}
			}
			continue
		}
		if all, err = appendSpec(all, doc); err != nil {
			return nil, err
		}
	}
	if len(all) == 0 {
		return nil, app.Invalid("there is no app in it: write at least its name and image")
	}
	return all, distinct(all)
}

// documents returns the documents of a file that are not empty. It refuses
// aliases that would be too much when they are written out.
func documents(data []byte) ([]*yaml.Node, error) {
	if len(data) > MaxBytes {
		return nil, app.Invalid("it has more than %d bytes", MaxBytes)
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var docs []*yaml.Node
	for {
		var doc yaml.Node
		err := dec.Decode(&doc)
		switch {
		case errors.Is(err, io.EOF):
			return docs, nil
		case err != nil:
			return nil, syntax(err)
		case len(doc.Content) == 0 || doc.Content[0].Tag == nullTag:
			continue
		}
		if weight(doc.Content[0], map[*yaml.Node]int{}) > maxNodes {
			return nil, app.Invalid("it has more than %d values when its aliases are written out", maxNodes)
		}
		docs = append(docs, doc.Content[0])
	}
}

// appendSpec appends the app that node is.
func appendSpec(all []Spec, node *yaml.Node) ([]Spec, error) {
	s := Spec{App: app.App{Instances: 1, MemoryMB: app.DefaultMemoryMB}, Scaled: Has(node, "instances")}
	if err := read(node, &s.App); err != nil {
		return nil, err
	}
	if s.App.Name == "" {
		return nil, app.Invalid("line %d: an app has no name: write name: NAME", node.Line)
	}
	for _, key := range brains {
		if Has(node, key) {
			return nil, app.Invalid("line %d: %s of app %.100q is the brain's to set: leave it out", node.Line, key, s.App.Name)
		}
	}
	s.Unset = nulls(node, "env")
	for _, name := range s.Unset {
		delete(s.App.Env, name)
	}
	s.App = s.App.WithDefaults()
	return append(all, s), nil
}

// brains are the fields of an app that no file may have.
var brains = []string{"revision", "stopped", "rollout", "created_at", "set"}

func distinct(specs []Spec) error {
	seen := map[string]bool{}
	for _, s := range specs {
		if seen[s.App.Name] {
			return app.Invalid("the app %.100q is there twice", s.App.Name)
		}
		seen[s.App.Name] = true
	}
	return nil
}

// nulls returns the fields of the group under key that have no value, sorted.
func nulls(node *yaml.Node, key string) []string {
	var names []string
	for _, f := range fields(node) {
		if f.key.Value != key {
			continue
		}
		for _, v := range fields(f.value) {
			if target(v.value).Tag == nullTag {
				names = append(names, v.key.Value)
			}
		}
	}
	slices.Sort(names)
	return names
}

// IsCompose reports whether a file is one for Compose.
func IsCompose(data []byte) bool {
	docs, err := documents(data)
	return err == nil && slices.ContainsFunc(docs, func(n *yaml.Node) bool { return Has(n, "services") || Has(n, "include") })
}
