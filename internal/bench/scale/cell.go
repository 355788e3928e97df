package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"lattice/api"
	"lattice/app"
	"lattice/internal/pki"
)

const (
	startTime   = 200 * time.Millisecond // of a container
	crashPause  = 100 * time.Millisecond
	reportEvery = 10 * time.Second      // though nothing has changed, as a cell does
	reportPause = 50 * time.Millisecond // between two reports
)

// A crowd is the simulated cells.
type crowd struct {
	brain *brain
	cells []*cell
	ends  []context.CancelFunc
	parts sync.WaitGroup
}

// join lets n cells join and run.
func (c *crowd) join(ctx context.Context, n int) error {
	const atOnce, perToken = 8, 500
	token := ""
	for i := 0; i < n; {
		if i%perToken == 0 {
			t, err := c.brain.client.CreateToken(ctx, api.TokenRequest{})
			if err != nil {
				return err
			}
			token = t.Token
		}
		var group sync.WaitGroup
		failed := make(chan error, atOnce)
		for range min(atOnce, n-i, perToken-i%perToken) {
			one := &cell{id: fmt.Sprintf("cell-%04d", i), zone: fmt.Sprint("z", i%4), instances: map[string]*app.Instance{}, dirty: make(chan struct{}, 1)}
			c.cells = append(c.cells, one)
			group.Go(func() { failed <- one.join(ctx, c.brain, token) })
			i++
		}
		group.Wait()
		close(failed)
		for err := range failed {
			if err != nil {
				return fmt.Errorf("join: %w", err)
			}
		}
	}
	for _, one := range c.cells {
		ctx, end := context.WithCancel(context.Background())
		c.ends = append(c.ends, end)
		c.parts.Go(func() { one.run(ctx) })
	}
	return nil
}

func (c *crowd) stop() {
	for _, end := range c.ends {
		end()
	}
	c.parts.Wait()
}

// lose ends the first cell without a word and returns how many instances it had.
func (c *crowd) lose() int {
	lost := c.cells[0]
	c.cells = c.cells[1:]
	c.ends[0]()
	_ = c.brain.tell(lost.seen(app.CellDead))
	lost.mu.Lock()
	defer lost.mu.Unlock()
	return len(lost.instances)
}

// crash lets so many instances crash a minute until stop is called.
func (c *crowd) crash(aMinute int) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		tick := time.NewTicker(time.Minute / time.Duration(max(1, aMinute)))
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				c.cells[rand.IntN(len(c.cells))].crash()
			}
		}
	})
	return func() { cancel(); done.Wait() }
}

// A cell is one that runs nothing.
type cell struct {
	id, zone string
	cert     *tls.Certificate
	client   *api.Client

	dirty chan struct{} // there is something to report

	mu        sync.Mutex // guards what follows
	instances map[string]*app.Instance
}

// join gets a certificate and begins to gossip, as a cell does.
func (c *cell) join(ctx context.Context, b *brain, token string) error {
	csr, key, err := pki.NewRequest(c.id)
	if err != nil {
		return err
	}
	t, err := pki.ParseToken(token)
	if err != nil {
		return err
	}
	stranger, err := api.NewClient(api.ClientConfig{URL: b.url, CA: b.ca, Token: string(t.Secret)})
	if err != nil {
		return err
	}
	defer stranger.Close()
	reply, err := stranger.Join(ctx, api.JoinRequest{Cell: c.id, Version: "bench", CSR: string(csr)})
	if err != nil {
		return err
	}
	if c.cert, err = pki.Identity([]byte(reply.Certificate), key); err != nil {
		return err
	}
	if c.client, err = api.NewClient(api.ClientConfig{URL: b.url, CA: b.ca, Certificate: func() *tls.Certificate { return c.cert }}); err != nil {
		return err
	}
	return b.tell(c.seen(app.CellAlive))
}

// seen is the cell as gossip would tell of it.
func (c *cell) seen(state app.CellState) app.Cell {
	return app.Cell{ID: c.id, Zone: c.zone, Version: "bench", Address: "127.0.0.1", State: state, Labels: map[string]string{"disk": "ssd"},
		Capacity: app.Resources{MemoryMB: 64 << 10, DiskMB: 1 << 20, Containers: 600, CPUMilli: 16_000}}
}

// run is the life of a cell.
func (c *cell) run(ctx context.Context) {
	defer c.client.Close()
	var parts sync.WaitGroup
	parts.Go(func() { c.follow(ctx, func() error { return c.client.Work(ctx, c.id, c.take) }) })
	parts.Go(func() {
		c.follow(ctx, func() error {
			return c.client.Membership(ctx, c.id, func(m api.Membership) error { return c.client.Confirm(ctx, c.id, m.Ring.Revision) })
		})
	})
	parts.Go(func() { c.report(ctx) })
	parts.Wait()
}

// follow keeps up a stream.
func (c *cell) follow(ctx context.Context, stream func() error) {
	for ctx.Err() == nil {
		if err := stream(); errors.Is(err, app.ErrUnauthorized) {
			return
		}
		pause(ctx, time.Second)
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// take does what the brain wants: what is new starts, what is no more is gone.
func (c *cell) take(w app.Work) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	wanted := make(map[string]bool, len(w.Assigned))
	for _, as := range w.Assigned {
		if wanted[as.ID] = true; c.instances[as.ID] == nil {
			c.instances[as.ID] = &app.Instance{ID: as.ID, App: as.App.Name, Index: as.Index, Revision: as.App.Revision, Cell: c.id,
				MemoryMB: as.App.MemoryMB, DiskMB: as.App.DiskMB, Host: "127.0.0.1"}
			c.start(as.ID)
		}
	}
	for id := range c.instances {
		if !wanted[id] {
			delete(c.instances, id)
		}
	}
	c.changed()
	return nil
}

// start gives an instance a new container that is up in a moment. The caller
// holds c.mu.
func (c *cell) start(id string) {
	in := c.instances[id]
	in.State, in.Since, in.GUID, in.IP = app.Claimed, time.Now().UTC(), "", ""
	time.AfterFunc(startTime, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if in := c.instances[id]; in != nil {
			in.State, in.Since, in.GUID = app.Running, time.Now().UTC(), app.NewGUID()
			in.IP, in.Ports = fmt.Sprintf("10.%d.%d.%d", rand.IntN(250), rand.IntN(250), rand.IntN(250)), []app.PortPair{{Container: 8080, Host: 20_000 + rand.IntN(40_000)}}
			c.changed()
		}
	})
}

// crash ends one of the containers.
func (c *cell) crash() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, in := range c.instances {
		if in.State != app.Running {
			continue
		}
		in.State, in.Since, in.Crashes, in.Reason = app.Crashed, time.Now().UTC(), in.Crashes+1, "exited with code 1"
		c.changed()
		time.AfterFunc(crashPause, func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.instances[id] != nil {
				c.start(id)
				c.changed()
			}
		})
		return
	}
}

func (c *cell) changed() {
	select {
	case c.dirty <- struct{}{}:
	default:
	}
}

// report tells the brain at each change, and now and then without one.
func (c *cell) report(ctx context.Context) {
	tick := time.NewTicker(reportEvery - rand.N(reportEvery/5)) // cells don't all begin at the same time
	defer tick.Stop()
	for ctx.Err() == nil {
		if err := c.client.Report(ctx, c.whole()); err != nil && ctx.Err() == nil {
			pause(ctx, time.Second)
			c.changed()
		}
		pause(ctx, reportPause)
		select {
		case <-ctx.Done():
		case <-c.dirty:
		case <-tick.C:
		}
	}
}

// whole is all that the cell runs, with figures of its use.
func (c *cell) whole() app.Report {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := app.Report{Cell: c.id, Instances: make([]app.Instance, 0, len(c.instances)), Images: []string{"lattice/hello"}}
	for _, in := range c.instances {
		one := *in
		one.MemoryBytes, one.CPUPercent = 20<<20+rand.Int64N(1<<20), rand.Float64()
		r.Instances = append(r.Instances, one)
	}
	slices.SortFunc(r.Instances, func(a, b app.Instance) int {
		return cmp.Or(strings.Compare(a.App, b.App), cmp.Compare(a.Index, b.Index), strings.Compare(a.ID, b.ID))
	})
	return r
}
