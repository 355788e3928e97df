package config

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"github.com/spf13/viper"

	"lattice/app"
)

// Origins of values that nobody asked for.
const (
	originDefault  = "default"
	originDetected = "detected"
)

// A reader answers what the value of a key is, collects what is wrong, and
// remembers what it answered.
type reader struct {
	v      *viper.Viper
	flags  *pflag.FlagSet
	file   string
	role   role
	values map[string]string // key → value as shown
	found  map[string]bool   // keys whose value was detected
	errs   []error
}

func newReader(r role, flags *pflag.FlagSet, file string) (*reader, error) {
	v := viper.New()
	if file != "" {
		content, err := readFile(file)
		if err != nil {
			return nil, err
		}
		if err := v.MergeConfigMap(content); err != nil {
			return nil, fmt.Errorf("read configuration %s: %w", file, err)
		}
	}
	for _, o := range options() {
		if o.roles&r == 0 {
			continue
		}
		if err := v.BindEnv(o.key, o.env()); err != nil {
			return nil, fmt.Errorf("bind %s: %w", o.env(), err)
		}
		if err := v.BindPFlag(o.key, flags.Lookup(o.key)); err != nil {
			return nil, fmt.Errorf("bind --%s: %w", o.key, err)
		}
	}
	return &reader{v: v, flags: flags, file: file, role: r, values: map[string]string{}, found: map[string]bool{}}, nil
}

// readFile refuses keys that mean nothing, so that a misspelt one doesn't go
// unnoticed. Keys of other roles are fine: one file may serve all.
func readFile(file string) (map[string]any, error) {
	ext := strings.TrimPrefix(filepath.Ext(file), ".")
	if !slices.Contains([]string{"yaml", "yml", "toml", "json"}, ext) {
		return nil, app.Invalid("configuration file %s: its name must end in .yaml, .toml or .json", file)
	}
	v := viper.New()
	v.SetConfigFile(file)
	if err := v.ReadInConfig(); err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	content := v.AllSettings()
	var known []string
	for _, o := range options() {
		known = append(known, o.key)
	}
	for key := range content {
		if !slices.Contains(known, key) {
			return nil, app.Invalid("configuration file %s: there is no %q; there are %s", file, key, strings.Join(known, ", "))
		}
	}
	return content, nil
}

// text returns the value of a text option.
func (r *reader) text(key string) string {
	s := strings.TrimSpace(r.single(key))
	r.values[key] = s
	return s
}

// secret returns the value of a text option that must not be shown.
func (r *reader) secret(key string) Secret {
	s := Secret(r.text(key))
	r.values[key] = s.String()
	return s
}

// number returns the value of an option that is a number from 0 to most.
func (r *reader) number(key string, most int) int {
	s := strings.TrimSpace(r.single(key))
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > most {
		r.wrong(key, "%q is not a number from 0 to %d", s, most)
		return 0
	}
	r.values[key] = strconv.Itoa(n)
	return n
}

// truth returns the value of an option that is on or off.
func (r *reader) truth(key string) bool {
	s := r.text(key)
	b, err := strconv.ParseBool(s)
	if err != nil {
		r.wrong(key, "%q is not true or false", s)
	}
	return b
}

// duration returns the value of an option that is a time from least to most.
func (r *reader) duration(key string, least, most time.Duration) time.Duration {
	s := r.text(key)
	d, err := time.ParseDuration(s)
	if err != nil || d < least || d > most {
		r.wrong(key, "%q is not a time from %s to %s; write it as 30m, 24h or 90s", s, least, most)
	}
	return d
}

// single returns a value that must not be a list or a table.
func (r *reader) single(key string) string {
	switch v := r.v.Get(key).(type) {
	case []any, []string, map[string]any:
		r.wrong(key, "one value is wanted, not several")
		return ""
	case nil:
		return ""
	default:
		return fmt.Sprint(v)
	}
}

// list returns the values of an option that may be repeated; in the environment
// and in a single text they are separated by commas.
func (r *reader) list(key string) []string {
	var all []string
	switch v := r.v.Get(key).(type) {
	case []string:
		all = slices.Clone(v)
	case []any:
		for _, e := range v {
			all = append(all, fmt.Sprint(e))
		}
	case string:
		all = strings.Split(v, ",")
	case nil:
	default:
		r.wrong(key, "a list is wanted, for example [a, b]")
	}
	for i := range all {
		all[i] = strings.TrimSpace(all[i])
	}
	all = slices.DeleteFunc(all, func(s string) bool { return s == "" })
	r.values[key] = strings.Join(all, ",")
	return all
}

// detected notes that the value of key was found out.
func (r *reader) detected(key, value string) {
	r.values[key], r.found[key] = value, true
}

// wrong notes what is wrong with the value of key, and where that value is.
func (r *reader) wrong(key, format string, args ...any) {
	r.errs = append(r.errs, app.Invalid("%s (%s): %s", key, r.origin(key), fmt.Sprintf(format, args...)))
}

// origin mirrors the order in which viper looks.
func (r *reader) origin(key string) string {
	env := option{key: key}.env()
	switch {
	case r.found[key]:
		return originDetected
	case r.flags.Changed(key):
		return "flag --" + key
	case os.Getenv(env) != "":
		return "environment " + env
	case r.v.InConfig(key):
		return "file " + r.file
	}
	return originDefault
}

func (r *reader) settings() []Setting {
	var all []Setting
	for _, o := range options() {
		if o.roles&r.role != 0 {
			s := Setting{Key: o.key, Value: r.values[o.key], Origin: r.origin(o.key)}
			if s.Value == "" {
				s.Auto = o.auto
			}
			all = append(all, s)
		}
	}
	return all
}
