package router_test

import (
	"io"
	"net/http"
	"testing"

	"lattice/router"
)

// TestInFlightAfterLeavingTheTable checks that an open request is counted until
// it ends, though its instance is in the table no more.
func TestInFlightAfterLeavingTheTable(t *testing.T) {
	held, finish := make(chan struct{}), make(chan struct{})
	server := backend(t, "only", func(w http.ResponseWriter, _ *http.Request) {
		close(held)
		<-finish
		io.WriteString(w, "done")
	})
	r, client := routing(t, hosting("web", addr(server)))
	instance := r.Stats().Backends[0].Instance
	answered := make(chan error, 1)
	go func() {
		resp, err := client.Get("http://web.lab/")
		if err == nil {
			err = resp.Body.Close()
		}
		answered <- err
	}()
	<-held
	r.Swap(router.Build(nil, "lab", nil))
	if n := r.InFlight(instance); n != 1 {
		t.Errorf("out of the table with an open request: %d in flight, want 1", n)
	}
	close(finish)
	if err := <-answered; err != nil {
		t.Errorf("the request was cut: %v", err)
	}
	eventually(t, func() bool { return r.InFlight(instance) == 0 })
}
