package app_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"lattice/app"
)

func TestTCPRoutesAsTheyAreTyped(t *testing.T) {
	for text, want := range map[string]app.TCPRoute{
		"6379":      {External: 6379},
		"5433:5432": {External: 5433, Port: 5432},
		"auto":      {},
		"auto:6379,proxy-protocol,idle-timeout=1h0m0s": {Port: 6379, ProxyProtocol: true, IdleTimeout: app.Duration(time.Hour)},
	} {
		if got, err := app.ParseTCPRoute(text); err != nil || got != want || got.String() != text {
			t.Errorf("%s: got %+v, %v, written %s", text, got, err, got)
		}
	}
	for _, text := range []string{"", "x", "1:", "1:x", "1:0", "1,fast", "1,idle-timeout=x", "1:2:3"} {
		if _, err := app.ParseTCPRoute(text); !errors.Is(err, app.ErrInvalid) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestWrongTCPRoutesAreTold(t *testing.T) {
	for want, routes := range map[string][]app.TCPRoute{
		"port 70000, which does not exist":    {{External: 70000}},
		"leads to port 81":                    {{External: 1, Port: 81}},
		"a port can lead to one port only":    {{External: 1}, {External: 1, Port: 80}},
		"must be at least 0s and at most 168": {{IdleTimeout: app.Duration(-1)}},
		"101 TCP routes":                      make([]app.TCPRoute, 101),
	} {
		a := app.App{Name: "db", Image: "redis", Ports: []int{80}, TCPRoutes: routes}.WithDefaults()
		if err := a.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
