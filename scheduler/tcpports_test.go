package scheduler

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"lattice/app"
)

func TestClaimPorts(t *testing.T) {
	taken := func(r app.TCPRoute) string {
		if r.Clashes(app.TCPRoute{External: 8443, SNI: "a.lab"}) {
			return `that of a TCP route of app "a"`
		}
		return map[int]string{6379: `that of a TCP route of app "redis"`, 20000: "where the API is"}[r.External]
	}
	named := func(sni string) []app.TCPRoute { return []app.TCPRoute{{External: 8443, SNI: sni}} }
	auto := func(port int) app.TCPRoute { return app.TCPRoute{Port: port} }
	at := func(external, port int) app.TCPRoute { return app.TCPRoute{External: external, Port: port} }
	for _, c := range []struct {
		name        string
		routes, had []app.TCPRoute
		want        []app.TCPRoute
		problem     string
	}{
		{"none", nil, nil, nil, ""},
		{"named", []app.TCPRoute{at(5432, 0)}, nil, []app.TCPRoute{at(5432, 0)}, ""},
		{"taken", []app.TCPRoute{at(6379, 0)}, nil, nil, `port 6379 is that of a TCP route of app "redis"`},
		{"another name", named("b.lab"), nil, named("b.lab"), ""},
		{"the same name", named("a.lab"), nil, nil, `port 8443 is that of a TCP route of app "a"`},
		{"no name", named(""), nil, nil, `port 8443 is that of a TCP route of app "a"`},
		{"first free", []app.TCPRoute{auto(0), auto(0)}, nil, []app.TCPRoute{at(20001, 0), at(20002, 0)}, ""},
		{"named before automatic", []app.TCPRoute{auto(0), at(20001, 1)}, nil, []app.TCPRoute{at(20002, 0), at(20001, 1)}, ""},
		{"stays", []app.TCPRoute{auto(1), auto(0)}, []app.TCPRoute{at(20003, 0)}, []app.TCPRoute{at(20001, 1), at(20003, 0)}, ""},
		{"none is free", []app.TCPRoute{auto(0), auto(0), auto(0), auto(0)}, nil, nil, "no port from 20000 to 20003 is free"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := claimPorts(c.routes, c.had, taken, portRange{20000, 20003})
			if c.problem != "" {
				if !errors.Is(err, app.ErrInvalid) || !strings.Contains(err.Error(), c.problem) {
					t.Errorf("got %v, want %q", err, c.problem)
				}
				return
			}
			if err != nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %v, %v, want %v", got, err, c.want)
			}
		})
	}
}
