package cli

import (
	"fmt"
	"slices"
	"strings"

	"lattice/app"
)

// routeOptionHelp is what the help texts of create and update have.
const routeOptionHelp = "treat requests as told: `[HOST[/PATH]:]KEY=VALUE`, without HOST on all routes; an empty VALUE takes the option away; may be repeated; KEYs are "

// setRouteOptions changes the options of the app's routes as texts say. If the
// app has the default routes, those of usual become its own.
func setRouteOptions(a *app.App, texts []string, usual func() []app.Route, same func(a, b app.Route) bool) error {
	if len(texts) == 0 {
		return nil
	}
	if a.NoRoutes {
		return fmt.Errorf("--route-option %s: %s has no routes", shownOption(texts[0]), a.Name)
	}
	if len(a.Routes) == 0 {
		a.Routes = usual()
	}
	for _, text := range texts {
		which, key, value, err := parseRouteOption(text)
		if err != nil {
			return err
		}
		found := false
		for i := range a.Routes {
			if which != nil && !same(a.Routes[i], *which) {
				continue
			}
			found = true
			if a.Routes[i].Options == nil {
				a.Routes[i].Options = &app.RouteOptions{}
			}
			if err := a.Routes[i].Options.Set(key, value); err != nil {
				return err
			}
		}
		if !found {
			return fmt.Errorf("--route-option %s: %s has no such route; it has %s", shownOption(text), a.Name, routesText(*a))
		}
	}
	return nil
}

// parseRouteOption reads [HOST[/PATH]:]KEY=VALUE; the route is nil when none is
// named. A VALUE of basic-auth may be @FILE, as htpasswd writes it, and one of
// error-page CODE:@FILE.
func parseRouteOption(text string) (which *app.Route, key, value string, err error) {
	key, value, ok := strings.Cut(text, "=")
	if !ok {
		return nil, "", "", fmt.Errorf("--route-option %s: write [HOST[/PATH]:]KEY=VALUE", shownOption(text))
	}
	if at := strings.LastIndexByte(key, ':'); at >= 0 {
		r, err := parseRoute(key[:at])
		if err != nil {
			return nil, "", "", err
		}
		which, key = &r, key[at+1:]
	}
	if file, ok := strings.CutPrefix(value, "@"); ok && key == "basic-auth" {
		if value, err = readUsers(file); err != nil {
			return nil, "", "", fail(exitFile, err)
		}
	}
	if of, file, ok := strings.Cut(value, ":@"); ok && key == "error-page" {
		page, err := readSmallFile(file)
		if err != nil {
			return nil, "", "", fail(exitFile, fmt.Errorf("read the error page: %w", err))
		}
		value = of + ":" + page
	}
	return which, key, value, nil
}

// readUsers returns the USER:HASH lines of a file with commas between.
func readUsers(file string) (string, error) {
	text, err := readSmallFile(file)
	if err != nil {
		return "", fmt.Errorf("read the users: %w", err)
	}
	lines := slices.DeleteFunc(strings.Split(text, "\n"), func(l string) bool {
		l = strings.TrimSpace(l)
		return l == "" || l[0] == '#'
	})
	return strings.Join(lines, ","), nil
}

// shownOption is text without a value that may be secret.
func shownOption(text string) string {
	key, _, _ := strings.Cut(text, "=")
	return key
}
