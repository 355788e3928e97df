package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// hello is what an instance knows of itself.
type hello struct {
	name, index, guid, port string

	start time.Time
	exit  chan int // takes the exit code when /exit was called
	trial *trial
}

func (h hello) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/{$}", h.greet)
	mux.HandleFunc("/index", say(h.index))
	mux.HandleFunc("/port", say(h.port))
	mux.HandleFunc("/env", env)
	mux.HandleFunc("/exit", h.die)
	h.trial.handle(mux)
	return printRequests(mux)
}

func (h hello) greet(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, "Hello from %s!\n\nThis is instance %s (%s).\nIt has been up for %v.\n",
		h.name, h.index, h.guid, time.Since(h.start).Round(time.Second))
}

// die answers first: exit is taken by the main loop, which lets this request
// end before it leaves.
func (h hello) die(w http.ResponseWriter, r *http.Request) {
	code := 1
	if s := r.FormValue("code"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 0 || n > 255 {
			http.Error(w, fmt.Sprintf("code is %q, must be a number from 0 to 255", s), http.StatusBadRequest)
			return
		}
		code = n
	}
	w.Header().Set("Connection", "close")
	fmt.Fprintf(w, "Goodbye from %s, instance %s, with exit code %d.\n", h.name, h.index, code)
	select {
	case h.exit <- code:
	default: // somebody was faster
	}
}

// say answers with one line of text.
func say(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, text) }
}

func env(w http.ResponseWriter, r *http.Request) {
	all := os.Environ()
	slices.Sort(all)
	if asJSON, _ := strconv.ParseBool(r.FormValue("json")); !asJSON {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprintln(w, strings.Join(all, "\n"))
		return
	}
	m := map[string]string{}
	for _, kv := range all {
		name, value, _ := strings.Cut(kv, "=")
		m[name] = value
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(m)
}

// printRequests prints a line for each request, when it has been answered. The
// platform's own questions after our health would only be noise.
func printRequests(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		rec := &recorder{w, http.StatusOK}
		next.ServeHTTP(rec, r)
		if r.URL.Path != "/healthz" && r.URL.Path != "/ready" {
			fmt.Printf("%s %s %d %v\n", r.Method, r.URL.Path, rec.status, time.Since(start).Round(time.Microsecond))
		}
	})
}

// recorder remembers the status of an answer.
type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}
