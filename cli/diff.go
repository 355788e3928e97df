package cli

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"lattice/app"
)

// A difference is one thing in which two specs of an app differ.
type difference struct {
	What string `json:"what"`
	From string `json:"from"`
	To   string `json:"to"`
}

// differences returns in what two specs differ. It never tells a value of the
// environment.
func differences(from, to app.App) []difference {
	var list []difference
	add := func(what, a, b string) {
		if a != b {
			list = append(list, difference{what, a, b})
		}
	}
	before, after := specLines(from), specLines(to)
	for i, b := range after {
		add(b.What, before[i].To, b.To)
	}
	if a, b := routesText(from), routesText(to); a == b && !reflect.DeepEqual(from.Routes, to.Routes) {
		add("Routes", a, b+", with other secrets")
	}
	for _, name := range slices.Sorted(maps.Keys(union(from.Env, to.Env))) {
		a, had := from.Env[name]
		b, has := to.Env[name]
		switch {
		case !had:
			add("Env "+name, "none", hiddenValue)
		case !has:
			add("Env "+name, hiddenValue, "none")
		case a != b:
			add("Env "+name, hiddenValue, "another value")
		}
	}
	return list
}

// specLines returns what a user can ask for, but for the environment, as text.
func specLines(a app.App) []difference {
	return []difference{
		{What: "Image", To: a.Image},
		{What: "Command", To: orText(commandText(a.Command), "the image's")},
		{What: "Arguments", To: orText(commandText(a.Args), "none of its own")},
		{What: "Working dir", To: orText(a.Dir, "the image's")},
		{What: "User", To: orText(a.User, "the image's")},
		{What: "Instances", To: strconv.Itoa(a.Instances)},
		{What: "Memory", To: limitText(a.MemoryMB)},
		{What: "Disk", To: limitText(a.DiskMB)},
		{What: "CPU weight", To: strconv.Itoa(a.CPUWeight)},
		{What: "CPU kept free", To: coresText(a.CPUMilli)},
		{What: "Rules", To: orText(rulesText(a.Rules), "any cell")},
		{What: "Ports", To: orText(numbersText(a.Ports), "the image's")},
		{What: "Check", To: wholeCheck(&a.Check)},
		{What: "Startup check", To: wholeCheck(a.Startup)},
		{What: "Readiness check", To: wholeCheck(a.Readiness)},
		{What: "Routes", To: routesText(a)},
		{What: "TCP routes", To: tcpRoutesText(a.TCPRoutes)},
		{What: "Volumes", To: orText(strings.Join(volumeLines(a.Volumes), "; "), "none")},
		{What: "Privileged", To: strconv.FormatBool(a.Privileged)},
		{What: "Start timeout", To: a.StartTimeout.String()},
		{What: "Stop grace", To: a.StopGrace.String()},
		{What: "Set", To: orText(a.Set, "none")},
	}
}

func orText(text, empty string) string {
	if text == "" {
		return empty
	}
	return text
}

func numbersText(numbers []int) string {
	texts := make([]string, len(numbers))
	for i, n := range numbers {
		texts[i] = strconv.Itoa(n)
	}
	return strings.Join(texts, ", ")
}

// routesText lists the routes as they are typed.
func routesText(a app.App) string {
	switch {
	case a.NoRoutes:
		return "none"
	case len(a.Routes) == 0:
		return "the default"
	}
	texts := make([]string, len(a.Routes))
	for i, r := range a.Routes {
		texts[i] = routeText(r)
	}
	return strings.Join(texts, ", ")
}

// tcpRoutesText lists TCP routes as they are typed.
func tcpRoutesText(routes []app.TCPRoute) string {
	texts := make([]string, len(routes))
	for i, r := range routes {
		texts[i] = r.String()
	}
	return orText(strings.Join(texts, "; "), "none")
}

// routeText is r as it is typed.
func routeText(r app.Route) string {
	text := r.Host + r.Path
	if r.Port != 0 {
		text += fmt.Sprintf(":%d", r.Port)
	}
	if options := r.Options.Typed(); len(options) > 0 {
		text += " (" + strings.Join(options, ", ") + ")"
	}
	return text
}

// wholeCheck says all of a check, nil being none of its own.
func wholeCheck(c *app.Check) string {
	if c == nil {
		return "none of its own"
	}
	return checkText(*c)
}

func union(a, b map[string]string) map[string]string {
	all := maps.Clone(a)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, b)
	return all
}

// differencesTable shows one difference a line.
func differencesTable(list []difference) *table {
	var t table
	for _, d := range list {
		t.row("", d.What, d.From+" → "+d.To)
	}
	return &t
}

// differencesText tells differences in one line.
func differencesText(list []difference) string {
	texts := make([]string, len(list))
	for i, d := range list {
		texts[i] = d.What + ": " + d.From + " → " + d.To
	}
	return strings.Join(texts, "; ")
}
