package main

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"sync/atomic"
)

// maxMB bounds what one request may ask to be eaten or filled.
const maxMB = 1 << 20

// A trial is what an instance does to try the platform's patience.
type trial struct {
	unready atomic.Bool
	sick    atomic.Bool

	mu    sync.Mutex // guards what follows
	eaten [][]byte
}

func (t *trial) handle(mux *http.ServeMux) {
	mux.HandleFunc("/healthz", toggle(&t.sick))
	mux.HandleFunc("/ready", toggle(&t.unready))
	mux.HandleFunc("/eat", withMB(t.eat))
	mux.HandleFunc("/fill", withMB(fill))
	mux.HandleFunc("/fork", fork)
}

// toggle answers ok, or 503 from ?set=false on until ?set=true.
func toggle(bad *atomic.Bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if s := r.FormValue("set"); s != "" {
			good, err := strconv.ParseBool(s)
			if err != nil {
				http.Error(w, fmt.Sprintf("set is %q, must be true or false", s), http.StatusBadRequest)
				return
			}
			bad.Store(!good)
			fmt.Fprintln(w, "noted")
			return
		}
		if bad.Load() {
			http.Error(w, "asked to say no", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	}
}

// withMB passes on the number in ?mb=N.
func withMB(do func(mb int) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		mb, err := strconv.Atoi(r.FormValue("mb"))
		if err != nil || mb < 1 || mb > maxMB {
			http.Error(w, fmt.Sprintf("mb is %q, must be a number from 1 to %d", r.FormValue("mb"), maxMB), http.StatusBadRequest)
			return
		}
		if err := do(mb); err != nil {
			http.Error(w, err.Error(), http.StatusInsufficientStorage)
			return
		}
		fmt.Fprintf(w, "took %d MiB\n", mb)
	}
}

// eat takes memory and keeps it.
func (t *trial) eat(mb int) error {
	for range mb {
		b := make([]byte, 1<<20)
		for i := 0; i < len(b); i += os.Getpagesize() {
			b[i] = 1
		}
		t.mu.Lock()
		t.eaten = append(t.eaten, b)
		t.mu.Unlock()
	}
	return nil
}

// fill writes a file and keeps it.
func fill(mb int) error {
	f, err := os.CreateTemp("", "fill-")
	if err != nil {
		return err
	}
	defer f.Close()
	b := make([]byte, 1<<20)
	for range mb {
		if _, err := f.Write(b); err != nil {
			return err
		}
	}
	return f.Sync()
}

// fork starts processes that start processes, without end.
func fork(w http.ResponseWriter, r *http.Request) {
	if err := startSelf(); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	fmt.Fprintln(w, "forking")
}

// startSelf starts a process of forkForEver.
func startSelf() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return exec.Command(self, "fork").Start()
}

// forkForEver never gives up, as a fork bomb does.
func forkForEver() {
	for {
		_ = startSelf() // no more are allowed: try again
	}
}
