package node

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"lattice/app"
	"lattice/router"
)

// combined is how Apache and nginx call it.
const combined = `{client} - - [{time}] "{method} {target} {proto}" {code} {sent} "{referer}" "{agent}"`

// An accessFormat appends the line about a request.
type accessFormat func(b []byte, a *router.Access) []byte

// newAccessFormat reads a format as --access-log-format has it.
func newAccessFormat(text string) (accessFormat, error) {
	switch text {
	case "":
		return appendAccess, nil
	case "json":
		return appendAccessJSON, nil
	case "combined":
		text = combined
	}
	var parts []accessFormat
	for text != "" {
		plain, rest, found := strings.Cut(text, "{")
		parts = append(parts, func(b []byte, _ *router.Access) []byte { return append(b, plain...) })
		if !found {
			break
		}
		name, after, closed := strings.Cut(rest, "}")
		field := accessFields()[name]
		if !closed || field == nil {
			return nil, app.Invalid("the access log's format has {%s, which stands for nothing: 'lattice brain --help' has the list", name)
		}
		parts = append(parts, func(b []byte, a *router.Access) []byte { return append(b, printable(field(a))...) })
		text = after
	}
	return func(b []byte, a *router.Access) []byte {
		for _, p := range parts {
			b = p(b, a)
		}
		return b
	}, nil
}

// accessFields returns what can stand in a format.
func accessFields() map[string]func(a *router.Access) string {
	return map[string]func(a *router.Access) string{
		"client":        func(a *router.Access) string { return a.Client },
		"method":        func(a *router.Access) string { return a.Method },
		"host":          func(a *router.Access) string { return a.Host },
		"target":        func(a *router.Access) string { return a.Target },
		"proto":         func(a *router.Access) string { return a.Proto },
		"code":          func(a *router.Access) string { return strconv.Itoa(a.Code) },
		"sent":          func(a *router.Access) string { return dashed(int(a.Sent), a.Sent >= 0) },
		"took":          func(a *router.Access) string { return strconv.FormatFloat(a.Took.Seconds(), 'f', 4, 64) },
		"index":         func(a *router.Access) string { return dashed(a.Index, a.Index >= 0) },
		"addr":          func(a *router.Access) string { return orDash(a.Addr) },
		"referer":       func(a *router.Access) string { return orDash(a.Referer) },
		"agent":         func(a *router.Access) string { return orDash(a.UserAgent) },
		"forwarded_for": func(a *router.Access) string { return orDash(a.ForwardedFor) },
		"received":      func(a *router.Access) string { return strconv.FormatInt(a.Received, 10) },
		"failure":       func(a *router.Access) string { return orDash(a.Failure) },
		"request_id":    func(a *router.Access) string { return orDash(a.ID) },
		"time":          func(a *router.Access) string { return a.At.Format("02/Jan/2006:15:04:05 -0700") },
	}
}

func dashed(n int, known bool) string {
	if !known {
		return "-"
	}
	return strconv.Itoa(n)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// printable makes what a client has sent look like nothing else: it is quoted,
// without the quotes, and cut when it is very long.
func printable(s string) string {
	quoted := string(appendQuoted(nil, s))
	quoted = strings.TrimSuffix(quoted, "…")
	return quoted[1 : len(quoted)-1]
}

func appendAccessJSON(b []byte, a *router.Access) []byte {
	line, err := json.Marshal(struct {
		Time         time.Time `json:"time"`
		Client       string    `json:"client"`
		Method       string    `json:"method"`
		Host         string    `json:"host"`
		Target       string    `json:"target"`
		Proto        string    `json:"proto"`
		Code         int       `json:"code"`
		Sent         int64     `json:"sent"`  // -1: not known
		Took         float64   `json:"took"`  // seconds
		Index        int       `json:"index"` // -1: no instance
		Addr         string    `json:"addr,omitempty"`
		Referer      string    `json:"referer,omitempty"`
		Agent        string    `json:"agent,omitempty"`
		ForwardedFor string    `json:"forwarded_for,omitempty"`
		ID           string    `json:"request_id,omitempty"`
		Received     int64     `json:"received,omitempty"` // bytes from the client, of a connection of a TCP route
		Failure      string    `json:"failure,omitempty"`
	}{
		a.At, a.Client, a.Method, a.Host, cut(a.Target), a.Proto, a.Code, a.Sent, a.Took.Seconds(), a.Index, a.Addr,
		cut(a.Referer), cut(a.UserAgent), cut(a.ForwardedFor), a.ID, a.Received, a.Failure,
	})
	if err != nil { // no value here can be the reason
		return appendAccess(b, a)
	}
	return append(b, line...)
}

func cut(s string) string { return s[:min(len(s), 2000)] }
