package router

import (
	"bytes"
	"net/http"
	"net/url"
	"strconv"
	"time"
	"unsafe"

	"lattice/router/wire"
)

// aim finds the instances for the request at hand.
func (c *client) aim() *refusal {
	if string(c.req.Method) == "CONNECT" {
		return &refusal{code: http.StatusBadRequest, cause: "connect_refused", reason: "this router makes no tunnels to other hosts: CONNECT is refused"}
	}
	if why := c.target(); why != nil {
		return why
	}
	if len(c.req.Host) == 0 {
		return &refusal{code: http.StatusBadRequest, cause: "empty_host", reason: "the request names no host: send a Host header"}
	}
	path, _, _ := bytes.Cut(c.req.Target, []byte("?"))
	c.x.wish = wish{host: text(c.req.Host), path: text(path)}
	if bytes.IndexByte(path, '%') >= 0 {
		plain, err := url.PathUnescape(string(path))
		if err != nil {
			return &refusal{code: http.StatusBadRequest, cause: "bad_request", reason: "the request's path has a % that is not followed by two hexadecimal digits"}
		}
		c.x.wish.path = plain
	}
	if f := c.req.Get(wire.AppInstance); f != nil {
		c.x.wish.addressed, c.x.wish.instance = true, text(f.Value)
	}
	if e := c.req.Get(wire.Expect); e != nil && c.req.Minor == 1 {
		if !wire.Is(e.Value, "100-continue") {
			return &refusal{code: http.StatusExpectationFailed, cause: "bad_request", reason: "the only expectation understood is 100-continue"}
		}
		c.body.expected = c.req.HasBody()
	}
	return c.x.aim(c.r.table.Load())
}

// target makes c.req.Target a path, and c.req.Host the host that is meant:
// a whole URL in the request line goes before the header.
func (c *client) target() *refusal {
	t := c.req.Target
	if t[0] == '/' || string(t) == "*" && string(c.req.Method) == "OPTIONS" {
		return nil
	}
	scheme, rest, ok := bytes.Cut(t, []byte("://"))
	if ok && (wire.Is(scheme, "http") || wire.Is(scheme, "https")) {
		end := bytes.IndexAny(rest, "/?#")
		if end < 0 {
			end = len(rest)
		}
		if end > 0 && wire.IsHost(rest[:end]) {
			c.req.Host, c.req.Target = rest[:end], rest[end:]
			if end == len(rest) || rest[end] != '/' {
				c.req.Target = append([]byte("/"), rest[end:]...)
			}
			return nil
		}
	}
	return &refusal{code: http.StatusBadRequest, cause: "bad_request", reason: "the request's target is neither a path nor a URL"}
}

// text returns b as a string without copying it. It is good as long as b is
// not written to, here: until the request at hand is done with.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// appendHead appends the request's head as every instance gets it; what only
// one gets comes after it, by appendInstance. Path and query stay byte by byte
// what the client sent.
func (c *client) appendHead(out []byte) []byte {
	out = append(out, c.req.Method...)
	out = append(out, ' ')
	out = append(out, c.req.Target...)
	out = append(out, " HTTP/1.1\r\nHost: "...)
	out = append(out, c.req.Host...)
	out = append(out, "\r\n"...)
	var id, start, te bool
	var rules *headerRules
	if c.x.policy != nil {
		rules = c.x.policy.request
	}
	for i := range c.req.Fields {
		f := &c.req.Fields[i]
		if rules != nil && rules.takes(f.Name) {
			continue
		}
		switch f.ID {
		case wire.Other, wire.UserAgent, wire.Referer, wire.AppInstance, wire.IdempotencyKey, wire.Date, wire.ContentLength:
			if c.req.Hop(f) {
				continue
			}
		case wire.RequestID:
			if id || len(f.Value) == 0 || len(f.Value) > maxRequestID {
				continue
			}
			id = true
			c.id = append(c.id[:0], f.Value...)
		case wire.RequestStart:
			start = true
		case wire.Trailer:
			if !c.req.Chunked {
				continue
			}
		case wire.Expect:
			if !c.body.expected {
				continue
			}
		case wire.TE:
			te = te || bytes.Contains(bytes.ToLower(f.Value), []byte("trailers"))
			continue
		default:
			continue
		}
		out = appendField(out, f)
	}
	if te {
		out = append(out, "Te: trailers\r\n"...)
	}
	if rules != nil {
		out = append(out, rules.text...)
	}
	return c.appendOwn(out, id, start)
}

func appendField(out []byte, f *wire.Field) []byte {
	out = append(out, f.Name...)
	out = append(out, ": "...)
	out = append(out, f.Value...)
	return append(out, "\r\n"...)
}

// appendOwn appends the fields that the router makes.
func (c *client) appendOwn(out []byte, id, start bool) []byte {
	if c.req.Chunked {
		out = append(out, "Transfer-Encoding: chunked\r\n"...)
	}
	if u := c.upgrade(); u != nil {
		out = append(out, "Connection: Upgrade\r\n"...)
		out = appendField(out, u)
	}
	out = c.appendForwarded(out)
	if !start {
		out = append(out, "\r\nX-Request-Start: "...)
		out = strconv.AppendInt(out, time.Now().UnixMilli(), 10)
	}
	if !id {
		out = append(out, "\r\nX-Request-Id: "...)
		c.id = appendRequestID(c.id[:0])
		out = append(out, c.id...)
	}
	return append(out, "\r\n"...)
}

// appendInstance appends what only this instance gets, and ends the head.
func (c *client) appendInstance(out []byte) []byte {
	b := c.x.backend
	out = append(out, "X-Cf-Applicationid: "...)
	out = append(out, b.App...)
	out = append(out, "\r\nX-Cf-Instanceid: "...)
	out = append(out, b.Instance...)
	out = append(out, "\r\nX-Cf-Instanceindex: "...)
	out = strconv.AppendInt(out, int64(b.Index), 10)
	return append(out, "\r\n\r\n"...)
}

// upgrade returns the field that asks for another protocol; nil when the
// request does not. One with a body can't, and one to HTTP/2 would hide all
// further requests from the router.
func (c *client) upgrade() *wire.Field {
	if !c.req.Upgrade || c.req.HasBody() || c.req.Minor == 0 {
		return nil
	}
	u := c.req.Get(wire.Upgrade)
	if u == nil || bytes.Contains(bytes.ToLower(u.Value), []byte("h2c")) {
		return nil
	}
	return u
}
