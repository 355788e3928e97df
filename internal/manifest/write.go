package manifest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"lattice/app"
)

// Write returns apps as Parse reads them, a document each. What is as usual is
// left out. Without showEnv the variables have no values, so that who applies
// the file keeps those that there are.
func Write(apps []app.App, showEnv bool) ([]byte, error) {
	var out bytes.Buffer
	for i, a := range apps {
		if i > 0 {
			out.WriteString("---\n")
		}
		b, err := object(a, showEnv)
		if err == nil {
			b, err = asYAML(b)
		}
		if err != nil {
			return nil, fmt.Errorf("write the app %q: %w", a.Name, err)
		}
		out.Write(b)
	}
	return out.Bytes(), nil
}

// WriteJSON is Write as one document in JSON, with a list of apps.
func WriteJSON(apps []app.App, showEnv bool) ([]byte, error) {
	list := make([]json.RawMessage, len(apps))
	for i, a := range apps {
		var err error
		if list[i], err = object(a, showEnv); err != nil {
			return nil, fmt.Errorf("write the app %q: %w", a.Name, err)
		}
	}
	b, err := encode(map[string]any{"apps": list})
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = json.Indent(&out, b, "", "  ")
	return append(out.Bytes(), '\n'), err
}

// object returns what a file has of a as JSON, in the order of app.App.
func object(a app.App, showEnv bool) ([]byte, error) {
	a = a.WithDefaults()
	usual := app.App{MemoryMB: app.DefaultMemoryMB}.WithDefaults()
	was, is := reflect.ValueOf(usual), reflect.ValueOf(a)
	out := []byte("{")
	for i := range is.NumField() {
		name, _, _ := strings.Cut(is.Type().Field(i).Tag.Get("json"), ",")
		value := is.Field(i)
		always := name == "name" || name == "image" || name == "instances"
		if slices.Contains(brains, name) || !always && same(value, was.Field(i)) {
			continue
		}
		v := value.Interface()
		if name == "env" && !showEnv {
			v = hidden(a.Env)
		}
		b, err := encode(v)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(append(append(out, '"'), name...), `":`...)
		out = append(out, b...)
	}
	return append(out, '}'), nil
}

// same reports whether a and b say the same; nil and empty do.
func same(a, b reflect.Value) bool {
	switch a.Kind() {
	case reflect.Slice, reflect.Map:
		if a.Len() == 0 && b.Len() == 0 {
			return true
		}
	}
	return reflect.DeepEqual(a.Interface(), b.Interface())
}

// hidden has the names in env without their values.
func hidden(env map[string]string) map[string]any {
	all := make(map[string]any, len(env))
	for name := range env {
		all[name] = nil
	}
	return all
}

func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimSpace(b.Bytes()), err
}
