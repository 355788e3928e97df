package router

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"net/http"
	"net/http/httputil"
	"strconv"
	"strings"
	"time"
)

// flushEvery is how long a part of a body of known length may wait for more. A
// body of unknown length and server-sent events are never made to wait.
const flushEvery = 10 * time.Millisecond

// maxRequestID is the longest X-Request-Id taken from a client, in bytes.
const maxRequestID = 128

// proxy returns the data path of this exchange. It takes care of what a proxy
// must not pass on, of upgrades, 1xx answers, trailers and flushing.
func (x *exchange) proxy() *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Rewrite:        x.rewrite,
		Transport:      x,
		FlushInterval:  flushEvery,
		ErrorLog:       x.r.proxyLog,
		BufferPool:     &x.r.buffers,
		ModifyResponse: x.answered,
		ErrorHandler:   x.failed,
	}
}

// rewrite makes the request that goes to the instance. Path, query and Host
// stay byte by byte what the client sent.
func (x *exchange) rewrite(p *httputil.ProxyRequest) {
	in, out := p.In, p.Out
	out.URL.Scheme = "http"
	out.URL.Opaque = rawPath(in.RequestURI)
	out.URL.RawQuery = in.URL.RawQuery
	out.Trailer = in.Trailer // the same map: its values come after the body

	x.forward(in, out)
	if out.Header["X-Request-Start"] == nil {
		out.Header["X-Request-Start"] = []string{strconv.FormatInt(time.Now().UnixMilli(), 10)}
	}
	if x.id = out.Header.Get("X-Request-Id"); x.id == "" || len(x.id) > maxRequestID {
		x.id = string(appendRequestID(nil))
		out.Header["X-Request-Id"] = []string{x.id}
	}
	if x.policy != nil {
		x.policy.request.apply(out.Header)
	}
	x.direct(out)
}

// rawPath returns the path as it stands in a request line, or "" where
// url.URL's own idea of it must do.
func rawPath(target string) string {
	if !strings.HasPrefix(target, "/") || strings.HasPrefix(target, "//") {
		return ""
	}
	path, _, _ := strings.Cut(target, "?")
	return path
}

// direct addresses the request to the exchange's instance.
func (x *exchange) direct(out *http.Request) {
	out.URL.Host = x.backend.Addr
	out.Header["X-Cf-Applicationid"] = []string{x.backend.App}
	out.Header["X-Cf-Instanceid"] = []string{x.backend.Instance}
	out.Header["X-Cf-Instanceindex"] = []string{strconv.Itoa(x.backend.Index)}
}

// redirect returns a copy of the request that is addressed to the exchange's
// instance. The original is left alone: a try that failed may still read it.
func (x *exchange) redirect(out *http.Request) *http.Request {
	next := out.WithContext(out.Context())
	u := *out.URL
	next.URL, next.Header = &u, out.Header.Clone()
	x.direct(next)
	return next
}

// answered is called when an instance has answered.
func (x *exchange) answered(res *http.Response) error {
	x.code = res.StatusCode
	x.r.count.answered(res.StatusCode)
	if x.policy != nil {
		x.policy.answer.apply(res.Header)
		if c := x.setCookie(); c != "" {
			res.Header.Add("Set-Cookie", c)
		}
	}
	if len(res.Trailer) > 0 && x.in.ProtoMajor == 1 { // which has trailers only where it has chunks
		res.Header.Del("Content-Length")
	}
	x.deadline.answered(res)
	return nil
}

// failed is called when no instance has answered.
func (x *exchange) failed(w http.ResponseWriter, req *http.Request, err error) {
	why := broken()
	switch {
	case x.in.Context().Err() != nil:
		why = &refusal{code: statusClientGone, cause: "client_gone", reason: "the client did not wait for the answer"}
	case isTimeout(err) || x.deadline.over():
		why = late()
	}
	x.code = why.code
	x.r.refuse(w, req, x.route, *why)
}

// appendRequestID appends 32 random hexadecimal digits. They name a request,
// they protect nothing.
func appendRequestID(out []byte) []byte {
	var b [16]byte
	binary.NativeEndian.PutUint64(b[:8], rand.Uint64())
	binary.NativeEndian.PutUint64(b[8:], rand.Uint64())
	return hex.AppendEncode(out, b[:])
}

// record counts the request, and tells of it.
func (x *exchange) record() {
	if !x.tally() {
		return
	}
	a, in := x.access(), x.in
	a.Method, a.Host, a.Target, a.Proto, a.Sent = in.Method, in.Host, in.RequestURI, in.Proto, -1
	a.UserAgent, a.Referer, a.ForwardedFor = in.UserAgent(), in.Referer(), in.Header.Get("X-Forwarded-For")
	a.ID = x.id
	a.Client = httpCaller{x}.client().String()
	x.r.onAccess(a)
}
