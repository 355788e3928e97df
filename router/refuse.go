package router

import "net/http"

// A refusal is an answer of the router itself.
type refusal struct {
	code   int
	cause  string // for X-Cf-RouterError
	reason string // a sentence for the person who sees it
}

// statusClientGone is what nginx and gorouter write down for a request whose
// client did not wait for the answer. Nobody sees it.
const statusClientGone = 499

func (r *Router) refuse(w http.ResponseWriter, why refusal) {
	r.count.answered(why.code)
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store") // a 404 may be cached otherwise
	h.Set("X-Cf-Routererror", why.cause)
	if why.code == http.StatusServiceUnavailable {
		h.Set("Retry-After", "1")
	}
	w.WriteHeader(why.code)
	// An error here is the client's going away, which is no news.
	_, _ = w.Write([]byte(why.reason + "\n"))
}
