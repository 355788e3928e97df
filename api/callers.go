package api

import (
	"context"
	"sync"
)

// callers has a context for each user who was let in, which ends when the user
// must not go on, and with it the user's streams.
type callers struct {
	mu  sync.Mutex // guards what follows
	all map[string]visit
}

type visit struct {
	ctx context.Context
	end context.CancelCauseFunc
}

// in returns the context of the user.
func (cs *callers) in(name string) context.Context {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	v, ok := cs.all[name]
	if !ok {
		v.ctx, v.end = context.WithCancelCause(context.Background())
		if cs.all == nil {
			cs.all = map[string]visit{}
		}
		cs.all[name] = v // as many as there are users, who are bounded
	}
	return v.ctx
}

// end ends what the user has open.
func (cs *callers) end(name string, why error) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if v, ok := cs.all[name]; ok {
		v.end(why)
		delete(cs.all, name)
	}
}
