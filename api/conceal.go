package api

import (
	"reflect"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"lattice/app"
)

// Concealed is what a viewer sees in place of a value of an app's environment.
const Concealed = "****"

// hides reports whether who asks must not see secrets.
func hides(c *gin.Context) bool { return callerOf(c).Role != RoleUser && callerOf(c).Role != "" }

// conceal returns v with all values of environments masked, wherever apps are in
// it. It looks at types and not at paths, so that a new path can't forget it.
func conceal(v any) any {
	if v == nil {
		return nil
	}
	return concealed(reflect.ValueOf(v)).Interface()
}

var appType = reflect.TypeFor[app.App]()

// concealed copies what holds an app, and nothing else.
func concealed(v reflect.Value) reflect.Value {
	if !holdsApp(v.Type(), nil) {
		return v
	}
	out := reflect.New(v.Type()).Elem()
	out.Set(v)
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			p := reflect.New(v.Type().Elem())
			p.Elem().Set(concealed(v.Elem()))
			out.Set(p)
		}
	case reflect.Interface:
		if !v.IsNil() {
			out.Set(concealed(v.Elem()))
		}
	case reflect.Slice:
		if !v.IsNil() {
			out.Set(reflect.MakeSlice(v.Type(), v.Len(), v.Len()))
		}
		fallthrough
	case reflect.Array:
		for i := range v.Len() {
			out.Index(i).Set(concealed(v.Index(i)))
		}
	case reflect.Map:
		if !v.IsNil() {
			out.Set(reflect.MakeMapWithSize(v.Type(), v.Len()))
			for it := v.MapRange(); it.Next(); {
				out.SetMapIndex(it.Key(), concealed(it.Value()))
			}
		}
	case reflect.Struct:
		if v.Type() == appType {
			return reflect.ValueOf(withoutValues(v.Interface().(app.App)))
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				out.Field(i).Set(concealed(v.Field(i)))
			}
		}
	}
	return out
}

// withoutValues returns a with its environment's values and the passwords of its
// routes masked.
func withoutValues(a app.App) app.App {
	if a.Env != nil {
		masked := make(map[string]string, len(a.Env))
		for name := range a.Env {
			masked[name] = Concealed
		}
		a.Env = masked
	}
	a.Routes = slices.Clone(a.Routes)
	for i, r := range a.Routes {
		if r.Options == nil || r.Options.BasicAuth == nil {
			continue
		}
		o := *r.Options
		o.BasicAuth = slices.Clone(o.BasicAuth)
		for k, user := range o.BasicAuth {
			name, _, _ := strings.Cut(user, ":")
			o.BasicAuth[k] = name + ":" + Concealed
		}
		a.Routes[i].Options = &o
	}
	return a
}

// holdsApp reports whether an app can be in a value of that type.
func holdsApp(t reflect.Type, above []reflect.Type) bool {
	for _, a := range above {
		if a == t {
			return false
		}
	}
	above = append(above, t)
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		return holdsApp(t.Elem(), above)
	case reflect.Interface:
		return true
	case reflect.Struct:
		if t == appType {
			return true
		}
		for i := range t.NumField() {
			if f := t.Field(i); f.IsExported() && holdsApp(f.Type, above) {
				return true
			}
		}
	}
	return false
}
