package router

import (
	"net/http"
	"strconv"
)

// A refusal is an answer of the router itself.
type refusal struct {
	code   int
	cause  string // for X-Cf-RouterError
	reason string // a sentence for the person who sees it

	more [][2]string // header fields
	page string      // HTML instead of the reason; may be empty
}

// body returns what is shown.
func (why *refusal) body() string {
	if why.page != "" {
		return why.page
	}
	return why.reason + "\n"
}

// statusClientGone is what nginx and gorouter write down for a request whose
// client did not wait for the answer. Nobody sees it.
const statusClientGone = 499

// late and broken are the refusals of a request that no instance has answered.
func late() *refusal {
	return &refusal{code: http.StatusGatewayTimeout, cause: "endpoint_failure", reason: "the app did not answer in time"}
}

func broken() *refusal {
	return &refusal{code: http.StatusBadGateway, cause: "endpoint_failure", reason: "no instance of the app could answer"}
}

// crowded is the refusal of a request for which no instance has room.
func crowded() *refusal {
	return &refusal{code: http.StatusServiceUnavailable, cause: "connection_limit_reached", reason: "all instances of the app have as many requests as they may have"}
}

// fields calls f with each header field of the refusal.
func (why *refusal) fields(f func(name, value string)) {
	if why.page != "" {
		f("Content-Type", "text/html; charset=utf-8")
	} else {
		f("Content-Type", "text/plain; charset=utf-8")
	}
	f("X-Content-Type-Options", "nosniff")
	f("Cache-Control", "no-store") // a 404 may be cached otherwise
	f("X-Cf-Routererror", why.cause)
	if why.code == http.StatusServiceUnavailable {
		f("Retry-After", "1")
	}
	for _, m := range why.more {
		f(m[0], m[1])
	}
}

// append appends the refusal as the fast path writes it.
func (why *refusal) append(out []byte, date string, head, again bool) []byte {
	out = append(out, "HTTP/1.1 "...)
	out = strconv.AppendInt(out, int64(why.code), 10)
	out = append(out, ' ')
	out = append(out, http.StatusText(why.code)...)
	add := func(name, value string) {
		out = append(out, "\r\n"...)
		out = append(out, name...)
		out = append(out, ": "...)
		out = append(out, value...)
	}
	why.fields(add)
	add("Date", date)
	body := why.body()
	add("Content-Length", strconv.Itoa(len(body)))
	if !again {
		add("Connection", "close")
	}
	out = append(out, "\r\n\r\n"...)
	if head {
		return out
	}
	return append(out, body...)
}

// refuse answers on the library's path; route is the request's, or nil.
func (r *Router) refuse(w http.ResponseWriter, req *http.Request, route *Route, why refusal) {
	r.count.answered(why.code)
	why.page = r.page(route, &why, req.Header["Accept"], req.Header.Get("X-Request-Id"))
	why.fields(w.Header().Set)
	w.WriteHeader(why.code)
	// An error here is the client's going away, which is no news.
	_, _ = w.Write([]byte(why.body()))
}
