package run_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"lattice/internal/run"
)

// steps notes what happened, in order.
type steps struct {
	mu   sync.Mutex // guards list
	list []string
}

func (s *steps) add(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, what)
}

func (s *steps) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.list, " ")
}

// until returns a part that ends d after it was told to.
func (s *steps) until(name string, d time.Duration, err error) func(context.Context) error {
	return func(ctx context.Context) error {
		<-ctx.Done()
		time.Sleep(d)
		s.add(name)
		return err
	}
}

func TestGroup(t *testing.T) {
	const grace = 10 * time.Second
	for _, c := range []struct {
		name  string
		parts func(*run.Group, *steps)
		want  string        // the steps
		err   string        // lines joined by "; "
		took  time.Duration // from the start
	}{
		{"stops in reverse", func(g *run.Group, s *steps) {
			g.Add("store", s.until("store", time.Second, nil))
			g.Add("api", s.until("api", 2*time.Second, nil))
			g.Add("router", s.until("router", 0, nil))
		}, "router api store", "", time.Minute + 3*time.Second},

		{"one that hangs doesn't keep the others from their time", func(g *run.Group, s *steps) {
			g.Add("store", s.until("store", 9*time.Second, nil))
			g.Add("api", s.until("api", time.Hour, nil))
		}, "store", "api: still running 10s after it was told to stop", time.Minute + 19*time.Second},

		{"one that fails stops all", func(g *run.Group, s *steps) {
			g.Add("store", s.until("store", 0, nil))
			g.Add("api", func(context.Context) error { time.Sleep(time.Second); return errors.New("no port") })
			g.Add("router", s.until("router", 0, nil))
		}, "router store", "api: no port", time.Second},

		{"one that ends by itself stops all", func(g *run.Group, s *steps) {
			g.Add("store", s.until("store", 0, nil))
			g.Add("api", func(context.Context) error { return nil })
		}, "store", "api: ended without being told to", 0},

		{"the cause comes first", func(g *run.Group, s *steps) {
			g.Add("store", func(context.Context) error { return errors.New("disk full") })
			g.Add("api", s.until("api", 0, errors.New("no store")))
		}, "api", "store: disk full; api: no store", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var g run.Group
				var s steps
				c.parts(&g, &s)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				began := time.Now()
				err := g.Run(ctx, grace)
				if took := time.Since(began); took != c.took {
					t.Errorf("took %v, want %v", took, c.took)
				}
				if got := s.String(); got != c.want {
					t.Errorf("got %q, want %q", got, c.want)
				}
				if got := text(err); got != c.err {
					t.Errorf("got error %q, want %q", got, c.err)
				}
				time.Sleep(2 * time.Hour) // let the hanging part end
			})
		})
	}
}

// A part must not see the end before it is its turn.
func TestPartsOutliveTheirUsers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g run.Group
		alive := true
		g.Add("store", func(ctx context.Context) error { <-ctx.Done(); alive = false; return nil })
		g.Add("api", func(ctx context.Context) error {
			<-ctx.Done()
			time.Sleep(5 * time.Second)
			if !alive {
				return errors.New("the store was gone first")
			}
			return nil
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := g.Run(ctx, 10*time.Second); err != nil {
			t.Error(err)
		}
	})
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return strings.ReplaceAll(err.Error(), "\n", "; ")
}
