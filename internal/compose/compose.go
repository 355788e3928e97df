// Package compose reads Compose files as apps. It is the only one that knows
// compose-go. What a file asks for and apps can't do is named, never skipped in
// silence; no error shows a value of an environment but where Compose itself
// puts it into a sentence about a variable that is required.
package compose

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/dotenv"
	"github.com/compose-spec/compose-go/v2/interpolation"
	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/template"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/sirupsen/logrus"

	"lattice/app"
	"lattice/internal/manifest"
)

// A File is one of the files that make up a project; a later one overrides
// what is in one before.
type File struct {
	Name    string // with its path
	Content []byte
}

// A Project is what Compose files describe.
type Project struct {
	Name  string          // of the file, else of its folder; valid as an app.App's Set
	Specs []manifest.Spec // each after those it needs

	// Unsupported is what apps can't do and what would run differently without
	// it, Notes what Lattice does in another way; both as "service web: …".
	Unsupported []string
	Notes       []string
}

// Load reads files, whose relative paths start at dir. It takes variables from
// env and from dir/.env, of which env counts first.
func Load(ctx context.Context, dir string, files []File, env map[string]string) (Project, error) {
	vars, err := withDotEnv(dir, env)
	if err != nil {
		return Project{}, err
	}
	details := types.ConfigDetails{WorkingDir: dir, Environment: vars}
	for _, f := range files {
		if len(f.Content) > manifest.MaxBytes {
			return Project{}, app.Invalid("%s has more than %d bytes", f.Name, manifest.MaxBytes)
		}
		details.ConfigFiles = append(details.ConfigFiles, types.ConfigFile{Filename: f.Name, Content: f.Content})
	}
	r := reading{missing: map[string]bool{}}
	project, err := r.load(ctx, details, loader.NormalizeProjectName(filepath.Base(dir)))
	if err != nil {
		return Project{}, app.Invalid("%s", plain.Replace(strings.TrimSpace(err.Error())))
	}
	out := Project{Name: setName(project.Name)}
	r.notes(&out, project)
	for _, name := range order(project.Services) {
		c := conversion{service: project.Services[name], project: project, out: &out}
		out.Specs = append(out.Specs, c.spec())
	}
	slices.Sort(out.Unsupported)
	if len(out.Specs) == 0 {
		return Project{}, app.Invalid("no service is in use in it")
	}
	return out, nil
}

// plain puts right what the loader says in words of its own.
var plain = strings.NewReplacer("👻", ".", " false schema", ": there is no such attribute")

// withDotEnv returns env with what the file .env in dir adds.
func withDotEnv(dir string, env map[string]string) (map[string]string, error) {
	all := maps.Clone(env)
	if all == nil {
		all = map[string]string{}
	}
	path := filepath.Join(dir, ".env")
	if _, err := os.Stat(path); err != nil {
		return all, nil
	}
	more, err := dotenv.GetEnvFromFile(all, []string{path})
	if err != nil {
		return nil, app.Invalid("%s can't be read: each line must be NAME=VALUE", path)
	}
	maps.Copy(more, env)
	return more, nil
}

// A reading collects what the loader tells on the way.
type reading struct {
	found   []loader.UnsupportedAttribute
	missing map[string]bool // variables that are not set
}

func (r *reading) load(ctx context.Context, details types.ConfigDetails, name string) (*types.Project, error) {
	log := logrus.StandardLogger() // to which the loader tells again what it returns
	before := log.Out
	log.SetOutput(io.Discard)
	defer log.SetOutput(before)
	return loader.LoadWithContext(ctx, details, func(o *loader.Options) {
		o.SetProjectName(name, false)
		o.Interpolate = &interpolation.Options{
			Substitute: r.substitute, LookupValue: details.LookupEnv, TypeCastMapping: o.Interpolate.TypeCastMapping,
		}
		if profiles := details.Environment["COMPOSE_PROFILES"]; profiles != "" {
			o.Profiles = strings.Split(profiles, ",")
		}
	}, loader.WithSupportedAttributes(supported(), func(list []loader.UnsupportedAttribute) { r.found = list }))
}

var variableName = regexp.MustCompile(`[A-Za-z_][A-Za-z0-9_]*`)

// substitute puts variables in and takes note of those that are not set.
func (r *reading) substitute(text string, lookup template.Mapping) (string, error) {
	note := func(part string, lookup template.Mapping, c *template.Config) (string, error) {
		value, applied, err := template.DefaultReplacementAppliedFunc(part, lookup, c)
		if !applied && err == nil {
			r.missing[variableName.FindString(part)] = true
		}
		return value, err
	}
	return template.SubstituteWithOptions(text, lookup, template.WithoutLogging, template.WithReplacementFunction(note))
}

// notes tells what was found beside what the services are made of.
func (r *reading) notes(out *Project, p *types.Project) {
	for _, f := range r.found {
		where, what := place(f)
		if _, used := p.Services[serviceOf(f)]; serviceOf(f) != "" && !used {
			continue // it is told that the service isn't used
		}
		if why, ok := harmless(f); ok {
			out.Notes = append(out.Notes, where+what+": "+why)
			continue
		}
		out.Unsupported = append(out.Unsupported, where+what+": an app can't have that")
	}
	for _, name := range slices.Sorted(maps.Keys(r.missing)) {
		out.Notes = append(out.Notes, fmt.Sprintf("the variable %s is not set: it becomes empty", name))
	}
	for _, name := range slices.Sorted(maps.Keys(p.DisabledServices)) {
		out.Notes = append(out.Notes, fmt.Sprintf("service %s: left out, as none of its profiles is in COMPOSE_PROFILES", name))
	}
	if len(p.Services) > 1 {
		out.Notes = append(out.Notes, "services don't find each other by name here: they do by their routes")
	}
}

// setName makes of a project's name one that a set may have.
func setName(project string) string {
	name := strings.Trim(project, "-_")
	return strings.TrimRight(name[:min(len(name), app.MaxNameBytes)], "-_")
}

// order returns the names of services, each after those it depends on. There
// are no circles, or else the loader had refused.
func order(services types.Services) []string {
	var names []string
	seen := map[string]bool{}
	var visit func(string)
	visit = func(name string) {
		s, ok := services[name]
		if seen[name] || !ok {
			return
		}
		seen[name] = true
		for _, before := range slices.Sorted(maps.Keys(s.DependsOn)) {
			visit(before)
		}
		names = append(names, name)
	}
	for _, name := range slices.Sorted(maps.Keys(services)) {
		visit(name)
	}
	return names
}
