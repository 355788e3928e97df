package node

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"lattice/app"
)

const (
	callbackTime  = 10 * time.Second // for one try
	callbackTries = 10
	firstCallback = time.Second // pause after the first try; doubles
	lastCallback  = 5 * time.Minute
	callbacks     = 8 // at a time
)

// taskEnds is what a caller needs to know of tasks.
type taskEnds interface {
	// Callbacks returns the tasks whose end is to be told now, and when the
	// next one is due; zero if none is.
	Callbacks(now time.Time) (due []app.Task, next time.Time)
	// CalledBack notes how a try went.
	CalledBack(t app.Task, c app.Callback) error
	// Changed returns a channel that is closed when something may be due.
	Changed() <-chan struct{}
}

// A caller tells those who asked for it that their task has ended. What is told
// is noted in the store, so a brain that was killed goes on; the call it was
// making then is made twice.
type caller struct {
	tasks taskEnds
	log   *slog.Logger
	http  *http.Client
	slots chan struct{} // holds one for each call being made
	ended chan struct{} // has one when a call has ended

	mu   sync.Mutex
	busy map[string]bool // tasks that are being told of
}

func newCaller(tasks taskEnds, log *slog.Logger) *caller {
	return &caller{
		tasks: tasks, log: log, slots: make(chan struct{}, callbacks), ended: make(chan struct{}, 1), busy: map[string]bool{},
		http: &http.Client{
			Timeout: callbackTime,
			// Whoever is called shall not make us call others.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// Run calls until ctx is done.
func (c *caller) Run(ctx context.Context) error {
	var calls sync.WaitGroup
	defer calls.Wait()
	for {
		changed := c.tasks.Changed()
		due, next := c.tasks.Callbacks(time.Now())
		for _, t := range due {
			if c.take(t.Name) {
				calls.Go(func() { c.turn(ctx, t) })
			}
		}
		var later <-chan time.Time
		if !next.IsZero() {
			later = time.After(time.Until(next))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-c.ended:
		case <-later:
		}
	}
}

// take reports whether nobody tells of the task yet; then the caller must.
func (c *caller) take(task string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.busy[task] {
		return false
	}
	c.busy[task] = true
	return true
}

// turn makes one try when there is a slot for it.
func (c *caller) turn(ctx context.Context, t app.Task) {
	select {
	case c.slots <- struct{}{}:
		c.call(ctx, t)
		<-c.slots
	case <-ctx.Done():
	}
	c.mu.Lock()
	delete(c.busy, t.Name)
	c.mu.Unlock()
	select {
	case c.ended <- struct{}{}:
	default: // one is there already
	}
}

// call makes one try and notes how it went.
func (c *caller) call(ctx context.Context, t app.Task) {
	err := c.post(ctx, t)
	if ctx.Err() != nil {
		return // the next brain tries
	}
	next := nextTry(*t.Callback, err, time.Now().UTC())
	switch {
	case next.GaveUp:
		c.log.Warn("the end of a task could not be told", "task", t.Name, "tries", next.Tries, "err", err)
	case err != nil:
		c.log.Info("the end of a task could not be told yet", "task", t.Name, "tries", next.Tries, "err", err)
	}
	if err := c.tasks.CalledBack(t, next); err != nil {
		c.log.Error("a call was not noted, so it is made again", "task", t.Name, "err", err)
		select { // the disk may be full
		case <-time.After(firstCallback):
		case <-ctx.Done():
		}
	}
}

// nextTry returns how it goes on after a try that ended with err.
func nextTry(c app.Callback, err error, now time.Time) app.Callback {
	c.Tries++
	c.NextAt, c.Reason = time.Time{}, ""
	if err == nil {
		c.Done = true
		return c
	}
	c.Reason = err.Error()
	if c.Tries >= callbackTries {
		c.GaveUp = true
		return c
	}
	c.NextAt = now.Add(min(firstCallback<<(c.Tries-1), lastCallback))
	return c
}

// post sends the task. An error says nothing of the URL, which may be a secret.
func (c *caller) post(ctx context.Context, t app.Task) error {
	address := t.CallbackURL
	t = t.WithoutSecrets()
	t.Callback = nil
	body, err := json.Marshal(t)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return errors.New("the URL can't be called")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "lattice")
	resp, err := c.http.Do(req)
	if err != nil {
		var about *url.Error
		if errors.As(err, &about) {
			err = about.Err
		}
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("the answer was %q", resp.Status)
	}
	return nil
}
