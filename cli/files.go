package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"lattice/app"
	"lattice/internal/compose"
	"lattice/internal/manifest"
)

// fileFlags say which files describe the apps.
type fileFlags struct {
	paths []string
	set   string
	skip  bool
}

func (f *fileFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringArrayVarP(&f.paths, "file", "f", nil, "`FILE` or folder with apps, or a Compose file; - is standard input; may be repeated")
	cmd.Flags().BoolVar(&f.skip, "skip-unsupported", false, "go on without what Lattice can't do of a Compose file")
}

// registerSet gives cmd the flag that names the set.
func (f *fileFlags) registerSet(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.set, "set", "", "`NAME` of the set that the apps belong to [the Compose project, else the file's or folder's name]")
}

// check returns a failure if no file is named.
func (f *fileFlags) check(cmd *cobra.Command) error {
	if len(f.paths) == 0 {
		return usage(cmd, "%s needs -f FILE", cmd.Name())
	}
	return nil
}

// A described is what files describe.
type described struct {
	set         string // the apps belong to it; empty: nobody named one
	specs       []manifest.Spec
	notes       []string
	unsupported []string
}

// read reads the files and tells what in them is not taken as it stands.
func (f *fileFlags) read(ctx context.Context, st *streams) (described, error) {
	var d described
	for _, path := range f.paths {
		if err := d.add(ctx, st, path); err != nil {
			return d, err
		}
	}
	if f.set != "" {
		d.set = f.set
	}
	for _, n := range d.notes {
		st.note("note: %s", n)
	}
	if len(d.unsupported) > 0 && !f.skip {
		return d, &failure{
			code: exitSyntax, err: errors.New("some of it can't be done here"), lines: d.unsupported,
			hint: "take it out of the file, or go on without it: --skip-unsupported",
		}
	}
	for _, u := range d.unsupported {
		st.warn("left out: %s", u)
	}
	return d, d.valid()
}

// valid returns what is wrong with the apps as far as they themselves tell.
func (d described) valid() error {
	var problems []string
	seen := map[string]bool{}
	for _, s := range d.specs {
		if err := s.App.Validate(); err != nil {
			problems = append(problems, s.App.Name+": "+strings.ReplaceAll(err.Error(), "\n", "\n"+s.App.Name+": "))
		}
		if seen[s.App.Name] {
			problems = append(problems, s.App.Name+" is described twice")
		}
		seen[s.App.Name] = true
	}
	if len(problems) == 0 {
		return nil
	}
	return fail(exitSyntax, errors.New(strings.Join(problems, "\n")))
}

// add adds what is at path: a file, all files of a folder, or standard input.
func (d *described) add(ctx context.Context, st *streams, path string) error {
	if path == "-" {
		data, err := io.ReadAll(io.LimitReader(st.in, manifest.MaxBytes+1))
		if err != nil {
			return fail(exitFile, fmt.Errorf("read standard input: %w", err))
		}
		return d.parse(ctx, ".", compose.File{Name: "standard input", Content: data})
	}
	info, err := os.Stat(path)
	if err != nil {
		return fail(exitFile, err)
	}
	if !info.IsDir() {
		d.name(strings.TrimSuffix(filepath.Base(path), filepath.Ext(path)))
		file, err := readFile(path)
		if err != nil {
			return err
		}
		return d.parse(ctx, filepath.Dir(path), file)
	}
	return d.addFolder(ctx, path)
}

func (d *described) addFolder(ctx context.Context, path string) error {
	full, err := filepath.Abs(path)
	if err != nil {
		return fail(exitFile, err)
	}
	d.name(filepath.Base(full))
	entries, err := os.ReadDir(path)
	if err != nil {
		return fail(exitFile, err)
	}
	var project []compose.File // its files make up one
	found := false
	for _, e := range entries {
		if e.IsDir() || !slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(e.Name())) {
			continue
		}
		found = true
		file, err := readFile(filepath.Join(path, e.Name()))
		if err != nil {
			return err
		}
		if isComposeName(e.Name()) {
			project = append(project, file)
			continue
		}
		if err := d.parse(ctx, path, file); err != nil {
			return err
		}
	}
	if !found {
		return fail(exitFile, fmt.Errorf("%s has no file that ends in .yaml, .yml or .json", path))
	}
	if len(project) > 0 {
		slices.SortFunc(project, func(a, b compose.File) int { return cmp.Compare(len(a.Name), len(b.Name)) }) // the override last
		return d.addProject(ctx, path, project)
	}
	return nil
}

// isComposeName reports whether Compose takes a file of that name by itself.
func isComposeName(name string) bool {
	base := strings.TrimSuffix(name, filepath.Ext(name))
	return slices.Contains([]string{"compose", "docker-compose", "compose.override", "docker-compose.override"}, base) && filepath.Ext(name) != ".json"
}

// name makes a set of the name of a file or a folder, if none is known yet.
func (d *described) name(text string) {
	clean := strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9', r == '-', r == '_':
			return r
		}
		return '-'
	}, strings.ToLower(text))
	clean = strings.Trim(clean[:min(len(clean), app.MaxNameBytes)], "-_")
	d.set = cmp.Or(d.set, clean)
}

// parse adds what a file describes, in whichever format.
func (d *described) parse(ctx context.Context, dir string, file compose.File) error {
	if manifest.IsCompose(file.Content) {
		return d.addProject(ctx, dir, []compose.File{file})
	}
	specs, err := manifest.Parse(file.Content)
	if err != nil {
		return fail(exitSyntax, fmt.Errorf("%s: %w", file.Name, err))
	}
	d.specs = append(d.specs, specs...)
	return nil
}

func (d *described) addProject(ctx context.Context, dir string, files []compose.File) error {
	full, err := filepath.Abs(dir)
	if err != nil {
		return fail(exitFile, err)
	}
	p, err := compose.Load(ctx, full, files, environment())
	if err != nil {
		return fail(exitSyntax, fmt.Errorf("%s: %w", files[0].Name, err))
	}
	if len(d.specs) == 0 && p.Name != "" {
		d.set = p.Name
	}
	d.specs = append(d.specs, p.Specs...)
	d.notes = append(d.notes, p.Notes...)
	d.unsupported = append(d.unsupported, p.Unsupported...)
	return nil
}

// environment returns the caller's variables.
func environment() map[string]string {
	env := map[string]string{}
	for _, v := range os.Environ() {
		name, value, _ := strings.Cut(v, "=")
		env[name] = value
	}
	return env
}

func readFile(path string) (compose.File, error) {
	text, err := readSmallFile(path)
	if err != nil {
		return compose.File{}, fail(exitFile, fmt.Errorf("read %s: %w", path, err))
	}
	return compose.File{Name: path, Content: []byte(text)}, nil
}
