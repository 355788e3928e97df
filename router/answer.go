package router

import (
	"errors"
	"io"
	"net"
	"strconv"

	"lattice/router/wire"
)

// answerBuffer is how much of an answer is read at once, in bytes.
const answerBuffer = 16 << 10

// How the end of an answer's body is known.
type framing uint8

const (
	empty framing = iota
	byLength
	byChunks
	byClose
)

// frame returns how the answer to the request at hand ends.
func (c *client) frame(res *wire.Head) framing {
	switch {
	case string(c.req.Method) == "HEAD", res.Code == 204, res.Code == 304:
		return empty
	case res.Chunked:
		return byChunks
	case res.Length >= 0:
		return byLength
	}
	return byClose
}

// answer passes the answer whose head is in w.res on to the client. It reports
// whether the connection can take another request.
func (c *client) answer(w *work, l *link) (again bool) {
	res := &w.res
	if res.Code == 101 {
		return c.tunnel(w, l)
	}
	c.answered(res.Code)
	how := c.frame(res)
	again = c.persists() && (c.req.Minor == 1 || how == empty || how == byLength) &&
		!c.body.expected && !(res.Close && c.body.done != nil)
	w.out = c.appendFraming(c.appendAnswer(w.out[:0], res), res, how, again)
	clean, err := c.deliver(w, l, how)
	sent := c.endUpload(err == nil && again)
	if intact := c.release(); intact && clean && sent && lasts(res) {
		c.r.keep(c.x.up, l)
	} else {
		l.conn.Close()
	}
	if err != nil {
		c.breakOff(how)
		return false
	}
	c.x.whole = true
	if !sent {
		c.linger()
	}
	return again && sent
}

// lasts reports whether the instance's connection stays open. One that gave
// two lengths is not trusted.
func lasts(res *wire.Head) bool {
	if res.Close || res.Chunked && res.Length >= 0 {
		return false
	}
	return res.Minor == 1 || res.KeepAlive
}

// breakOff makes sure that the client does not take the answer for whole. Where
// neither a length nor chunks tell it, a reset must.
func (c *client) breakOff(how framing) {
	if tcp, ok := c.raw.(*net.TCPConn); ok && c.req.Minor == 0 && how != byLength {
		_ = tcp.SetLinger(0)
		_ = tcp.Close() // before TLS can end in good order
	}
}

// appendAnswer appends the answer's status line and those of its fields that
// are for the client. What frames the answer comes after it.
func (c *client) appendAnswer(out []byte, res *wire.Head) []byte {
	out = append(out, "HTTP/1.1 "...)
	out = strconv.AppendInt(out, int64(res.Code), 10)
	out = append(out, ' ')
	out = append(out, res.Reason...)
	out = append(out, "\r\n"...)
	dated := res.Code < 200
	var rules *headerRules
	if c.x.policy != nil {
		rules = c.x.policy.answer
	}
	for i := range res.Fields {
		f := &res.Fields[i]
		if rules != nil && rules.takes(f.Name) {
			continue
		}
		switch f.ID {
		case wire.Connection, wire.ContentLength, wire.TransferEncoding, wire.KeepAlive, wire.ProxyAuthenticate,
			wire.ProxyAuthorization, wire.ProxyConnection, wire.TE, wire.Upgrade:
			continue
		case wire.Trailer:
			if !res.Chunked || c.req.Minor == 0 {
				continue
			}
		case wire.Date:
			dated = true
		case wire.Other:
			if res.Hop(f) {
				continue
			}
		}
		out = appendField(out, f)
	}
	if !dated {
		out = append(out, "Date: "...)
		out = append(out, c.r.date.String()...)
		out = append(out, "\r\n"...)
	}
	if c.x.policy != nil && res.Code >= 200 {
		out = c.appendPolicy(out, rules)
	}
	return out
}

// appendPolicy appends the fields that a route's policy adds to answers.
func (c *client) appendPolicy(out []byte, rules *headerRules) []byte {
	if rules != nil {
		out = append(out, rules.text...)
	}
	if s := c.x.setCookie(); s != "" {
		out = append(append(append(out, "Set-Cookie: "...), s...), "\r\n"...)
	}
	return out
}

// appendFraming ends the answer's head.
func (c *client) appendFraming(out []byte, res *wire.Head, how framing, again bool) []byte {
	if res.Length >= 0 && (how == byLength || how == empty && res.Code != 204 && !res.Chunked) {
		out = append(out, "Content-Length: "...)
		out = strconv.AppendInt(out, res.Length, 10)
		out = append(out, "\r\n"...)
	}
	if c.req.Minor == 1 && (how == byChunks || how == byClose) {
		out = append(out, "Transfer-Encoding: chunked\r\n"...)
	}
	switch {
	case !again:
		out = append(out, "Connection: close\r\n"...)
	case c.req.Minor == 0:
		out = append(out, "Connection: keep-alive\r\n"...)
	}
	return append(out, "\r\n"...)
}

// deliver writes w.out and the answer's body to the client. clean says that
// the instance has sent no more than that.
func (c *client) deliver(w *work, l *link, how framing) (clean bool, err error) {
	rest := w.in[w.res.Len:w.n]
	switch how {
	case byLength:
		return c.deliverLength(w, l, rest)
	case byChunks:
		return c.deliverChunks(w, l, rest)
	case byClose:
		return false, c.deliverAll(w, l, rest)
	}
	err = c.write(w.out)
	return len(rest) == 0, err
}

func (c *client) deliverLength(w *work, l *link, rest []byte) (clean bool, err error) {
	left := w.res.Length
	clean = int64(len(rest)) <= left
	rest = rest[:min(int64(len(rest)), left)]
	w.out = append(w.out, rest...)
	if err = c.write(w.out); err != nil {
		return false, err
	}
	if left -= int64(len(rest)); left == 0 {
		return clean, nil
	}
	c.enter(answering, c.r.now())
	if tcp, ok := c.conn.(*net.TCPConn); ok && left > spliceFrom && c.limits == nil {
		n, err := tcp.ReadFrom(&io.LimitedReader{R: l.conn, N: left}) // no copying where the kernel can
		c.sent += n
		if err == nil && n < left {
			err = io.ErrUnexpectedEOF
		}
		return err == nil, err
	}
	for left > 0 {
		n, err := l.conn.Read(w.in[:min(int64(len(w.in)), left)])
		if err != nil {
			return false, err
		}
		if err = c.write(w.in[:n]); err != nil {
			return false, err
		}
		left -= int64(n)
	}
	return true, nil
}

// spliceFrom is the size of a rest of a body from which on it is moved without
// copying: below, that costs more than it saves.
const spliceFrom = 16 << 10

// deliverChunks passes chunks on as they are, and only their data to a client
// that doesn't understand them.
func (c *client) deliverChunks(w *work, l *link, rest []byte) (clean bool, err error) {
	var chunks wire.Chunks
	for first := true; ; first = false {
		n := 0
		for n < len(rest) && !chunks.Done() {
			k, data, bad := chunks.Next(rest[n:])
			if bad != nil {
				err := c.write(w.out) // as far as it was good
				return false, errors.Join(bad, err)
			}
			if data || c.req.Minor == 1 {
				w.out = append(w.out, rest[n:n+k]...)
			}
			n += k
		}
		if err := c.write(w.out); err != nil {
			return false, err
		}
		if chunks.Done() {
			return n == len(rest), nil
		}
		if first {
			c.enter(answering, c.r.now())
		}
		got, err := l.conn.Read(w.in)
		if got == 0 && err != nil {
			return false, err
		}
		rest, w.out = w.in[:got], w.out[:0]
	}
}

// deliverAll passes on a body that ends with its connection, as chunks if the
// client understands them.
func (c *client) deliverAll(w *work, l *link, rest []byte) error {
	c.enter(answering, c.r.now())
	for {
		if len(rest) > 0 && c.req.Minor == 1 {
			w.out = strconv.AppendInt(w.out, int64(len(rest)), 16)
			w.out = append(w.out, "\r\n"...)
			w.out = append(append(w.out, rest...), "\r\n"...)
		} else {
			w.out = append(w.out, rest...)
		}
		if err := c.write(w.out); err != nil {
			return err
		}
		n, err := l.conn.Read(w.in)
		rest, w.out = w.in[:n], w.out[:0]
		if n > 0 {
			continue
		}
		if err != io.EOF {
			return err
		}
		if c.req.Minor == 1 {
			return c.write([]byte("0\r\n\r\n"))
		}
		return nil
	}
}
