package router

import (
	"reflect"
	"testing"

	"lattice/app"
)

func TestRouteStatuses(t *testing.T) {
	r := New(Options{})
	r.Swap(Build([]app.Status{
		{App: app.App{Name: "idle"}},
		{
			App: app.App{Name: "web", Ports: []int{8080}, Routes: []app.Route{{Host: "web", Options: &app.RouteOptions{Sticky: "at", BasicAuth: []string{"anna:$2y$secret"}}}}},
			Instances: []app.Instance{
				{App: "web", Index: 0, GUID: "g0", State: app.Running, Host: "10.0.0.1", Ports: []app.PortPair{{Container: 8080, Host: 61001}}},
				{App: "web", Index: 1, GUID: "g1", State: app.Claimed},
			},
		},
	}, "lab.test", nil))
	r.upstreams[endpoint{"10.0.0.1:61001", "g0"}].inFlight.Store(3)
	r.upstreams[endpoint{"10.0.0.1:61001", "g0"}].unreachable(r.now())

	all := r.RouteStatuses()
	if len(all) != 2 || all[0].Host != "idle.lab.test" || len(all[0].Backends) != 0 {
		t.Fatalf("got %+v, want idle without a backend, then web", all)
	}
	web := all[1]
	want := app.BackendStatus{App: "web", Index: 0, Instance: "g0", Port: 8080, Address: "10.0.0.1:61001", InFlight: 3, Ejected: true}
	if len(web.Backends) != 1 || !reflect.DeepEqual(web.Backends[0], want) {
		t.Errorf("backends of web: %+v, want %+v", web.Backends, want)
	}
	if got := web.Options; len(got) != 2 || got[0] != "sticky=at" || got[1] != "basic-auth=anna:****" {
		t.Errorf("options of web: %q", got)
	}
}
