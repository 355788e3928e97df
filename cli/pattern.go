package cli

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
)

// isPattern reports whether name stands for all names that it matches.
func isPattern(name string) bool { return strings.ContainsAny(name, "*?[") }

func hasPattern(names []string) bool { return slices.ContainsFunc(names, isPattern) }

// matching returns names with each pattern replaced by the apps that it
// matches. A pattern that matches none is a failure. No name is there twice.
func matching(ctx context.Context, b brain, names []string) ([]string, error) {
	if !hasPattern(names) {
		return names, nil
	}
	apps, err := b.Apps(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the apps: %w", err)
	}
	var found []string
	for _, name := range names {
		if !isPattern(name) {
			found = append(found, name)
			continue
		}
		some := false
		for _, a := range apps {
			ok, err := path.Match(name, a.App.Name)
			if err != nil {
				return nil, fail(exitSyntax, fmt.Errorf("%q is no pattern: a [ has no ]", name))
			}
			if ok {
				found, some = append(found, a.App.Name), true
			}
		}
		if !some {
			return nil, fail(exitCommand, fmt.Errorf("no app matches %q", name))
		}
	}
	return unique(found), nil
}

// unique returns list without what was in it before.
func unique(list []string) []string {
	var all []string
	for _, s := range list {
		if !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	return all
}
