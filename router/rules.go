package router

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"lattice/app"
)

// URLs returns where the app answers, its primary address first: one URL for
// each of its routes, with the scheme and port of routerURL
// (http://DOMAIN[:PORT]). It is never nil.
func URLs(status app.Status, domain, routerURL string) []string {
	scheme, port := "http", ""
	if u, err := url.Parse(routerURL); err == nil && u.Host != "" {
		scheme, port = u.Scheme, u.Port()
	}
	if port != "" {
		port = ":" + port
	}
	urls, seen := []string{}, make(map[string]bool)
	for _, r := range rules(&status, domain) {
		u := scheme + "://" + r.host + port + r.path
		if !seen[u] {
			seen[u] = true
			urls = append(urls, u)
		}
	}
	return urls
}

// A rule is one app.Route made complete.
type rule struct {
	host string // lower case, with domain, no longer than maxHost
	path string // without a trailing slash
	port int    // of the container; 0: the primary one

	options *app.RouteOptions
}

// rules returns the ways to an app: its routes or, when it has none, the
// default ones. The same one may come twice.
func rules(s *app.Status, domain string) []rule {
	if len(s.App.Routes) == 0 {
		if s.App.NoRoutes {
			return nil
		}
		return defaultRules(s, domain)
	}
	rs := make([]rule, 0, len(s.App.Routes))
	for _, r := range s.App.Routes {
		ru := rule{fullHost(r.Host, domain), strings.TrimRight(r.Path, "/"), r.Port, r.Options}
		if ru.host != "" {
			rs = append(rs, ru)
		}
	}
	return rs
}

// defaultRules returns NAME.domain for the primary port and NAME-PORT.domain
// for every port.
func defaultRules(s *app.Status, domain string) []rule {
	ports := knownPorts(s)
	rs := make([]rule, 0, 1+len(ports))
	if h := fullHost(s.App.Name, domain); h != "" {
		rs = append(rs, rule{host: h})
	}
	for _, p := range ports {
		if h := fullHost(s.App.Name+"-"+strconv.Itoa(p), domain); h != "" {
			rs = append(rs, rule{host: h, port: p})
		}
	}
	return rs
}

// knownPorts returns the app's ports: those it names and, because they may come
// from its image, those of its instances.
func knownPorts(s *app.Status) []int {
	ports := slices.Clone(s.App.Ports)
	for i := range s.Instances {
		if s.Instances[i].Stray {
			continue
		}
		for _, p := range s.Instances[i].Ports {
			if !slices.Contains(ports, p.Container) {
				ports = append(ports, p.Container)
			}
		}
	}
	return ports
}

// fullHost returns host as a table spells it, with domain if it has no dot of
// its own; "" when the result is too long for a host name.
func fullHost(host, domain string) string {
	if !strings.Contains(host, ".") {
		host += "." + domain
	}
	var buf [maxHost]byte
	return string(hostKey(&buf, host))
}
