package wire

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

// malformed are requests that two readers could see differently.
var malformed = map[string]string{
	"both lengths":              "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
	"both lengths, other order": "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
	"two lengths":               "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n",
	"the same length twice":     "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n",
	"a list of lengths":         "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\n",
	"signed length":             "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\n",
	"negative length":           "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -3\r\n\r\n",
	"hexadecimal length":        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x3\r\n\r\n",
	"empty length":              "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n",
	"huge length":               "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551617\r\n\r\n",
	"chunked twice":             "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
	"chunked in HTTP/1.0":       "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
	"space before the colon":    "GET / HTTP/1.1\r\nHost: a\r\nContent-Length : 3\r\n\r\n",
	"space before the name":     "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
	"folded":                    "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n",
	"folded by a tab":           "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n\tb\r\n\r\n",
	"NUL in a value":            "GET / HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n",
	"NUL in a name":             "GET / HTTP/1.1\r\nHost: a\r\nX\x00: b\r\n\r\n",
	"NUL in the target":         "GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
	"CR in a value":             "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n",
	"CR before CR LF":           "GET / HTTP/1.1\r\nHost: a\r\r\n\r\n",
	"LF alone":                  "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
	"LF alone everywhere":       "GET / HTTP/1.1\nHost: a\n\n",
	"LF alone at the end":       "GET / HTTP/1.1\r\nHost: a\r\n\n",
	"no name":                   "GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n",
	"no colon":                  "GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n",
	"two hosts":                 "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
	"the same host twice":       "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
	"no host":                   "GET / HTTP/1.1\r\n\r\n",
	"a path in the host":        "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
	"a user in the host":        "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n",
	"a space in the host":       "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
	"a space in the target":     "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
	"two spaces":                "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
	"a tab in the request line": "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n",
	"no version":                "GET /\r\nHost: a\r\n\r\n",
	"a wrong version":           "GET / HTTP/1.1x\r\nHost: a\r\n\r\n",
	"an empty line first":       "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
	"nothing":                   "\r\n\r\n",
}

func TestMalformedRequestsAreRefused(t *testing.T) {
	for name, text := range malformed {
		var h Head
		err := h.ParseRequest([]byte(text), 0)
		if bad := (*Malformed)(nil); !errors.As(err, &bad) {
			t.Errorf("%s: got %v, want a refusal", name, err)
		}
	}
	for text, want := range map[string]error{
		"GET / HTTP/2.0\r\nHost: a\r\n\r\n":                                         ErrVersion,
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n":    ErrCoding,
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n":      &Malformed{"a header field's value has a control character"},
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n":         ErrCoding,
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n": ErrCoding,
		"GET / HTTP/1.1\r\nHost: a\r\n":                                             ErrMore,
		"GET / HTT":                                                                 ErrMore,
	} {
		var h Head
		if err := h.ParseRequest([]byte(text), 0); err.Error() != want.Error() {
			t.Errorf("%q: got %v, want %v", text, err, want)
		}
	}
}

func TestRequestHead(t *testing.T) {
	const text = "POST /a?b HTTP/1.1\r\nhOsT: a.lab:80\r\nX:\t v \r\nConnection: Keep-Alive, X-Hop\r\nX-hop: 1\r\nContent-Length: 007\r\nX-Empty:\r\n\r\nrest"
	var h Head
	if err := h.ParseRequest([]byte(text), 0); err != nil {
		t.Fatal(err)
	}
	if string(h.Method) != "POST" || string(h.Target) != "/a?b" || string(h.Host) != "a.lab:80" || h.Minor != 1 ||
		h.Length != 7 || h.Chunked || h.Close || !h.KeepAlive || text[h.Len:] != "rest" || len(h.Fields) != 6 {
		t.Errorf("got %+v", h)
	}
	if v := string(h.Fields[1].Value); v != "v" {
		t.Errorf("X: got %q", v)
	}
	if !h.Hop(&h.Fields[3]) || h.Hop(&h.Fields[1]) {
		t.Error("Connection's list is not followed")
	}
	p := []byte(text)
	if n := testing.AllocsPerRun(100, func() { _ = h.ParseRequest(p, 0) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestNamesAreUnderTheirLength(t *testing.T) {
	for n, all := range byLength {
		for _, k := range all {
			if len(k.name) != n || identify([]byte(strings.ToUpper(k.name))) != k.id {
				t.Errorf("%s is not found", k.name)
			}
		}
	}
}

func TestAHeadMayComeByteByByte(t *testing.T) {
	const text = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
	var h Head
	for n := range len(text) {
		if err := h.ParseRequest([]byte(text[:n]), max(0, n-1)); err != ErrMore {
			t.Fatalf("%q: got %v", text[:n], err)
		}
	}
	if err := h.ParseRequest([]byte(text), len(text)-1); err != nil {
		t.Error(err)
	}
}

func TestChunks(t *testing.T) {
	for text, want := range map[string]string{ // data and rest; empty: refused
		"3\r\nabc\r\n0\r\n\r\nnext":                        "abc|next",
		"3;x=\"y\"\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n": "abc0123456789|",
		"0000\r\nX-Sum: 1\r\nY:\r\n\r\nnext":               "|next",
		"0\r\n\r\n":                                        "|",
		"3\nabc\r\n0\r\n\r\n":                              "",
		"3\r\nabcd\r\n0\r\n\r\n":                           "",
		"3\r\nabc0\r\n\r\n":                                "",
		"3\r\nabc\n0\r\n\r\n":                              "",
		"0x3\r\nabc\r\n0\r\n\r\n":                          "",
		"-3\r\nabc\r\n0\r\n\r\n":                           "",
		"3 \r\nabc\r\n0\r\n\r\n":                           "",
		" 3\r\nabc\r\n0\r\n\r\n":                           "",
		"\r\n0\r\n\r\n":                                    "",
		"3;a\nb\r\nabc\r\n0\r\n\r\n":                       "",
		"3;a\rb\r\nabc\r\n0\r\n\r\n":                       "",
		"fffffffffffffffff\r\nabc":                         "",
		"0\r\nContent-Length: 3\r\n\r\n":                   "",
		"0\r\nTransfer-Encoding: x\r\n\r\n":                "",
		"0\r\nX: a\r\n b\r\n\r\n":                          "",
		"0\r\nX: a\nY: b\r\n\r\n":                          "",
		"0\r\n: a\r\n\r\n":                                 "",
		"0\r\n\n":                                          "",
		"0;" + strings.Repeat("x", maxLines+1):             "",
	} {
		for _, step := range []int{1, 2, len(text)} {
			got, err := drain(text, step)
			if want == "" && err == nil || want != "" && (err != nil || got != want) {
				t.Errorf("%.40q by %d: got %q, %v; want %q", text, step, got, err, want)
			}
		}
	}
}

// drain feeds a chunked body in steps and returns its data and what follows.
func drain(text string, step int) (string, error) {
	var c Chunks
	var data []byte
	pos := 0
	for pos < len(text) && !c.Done() {
		p := []byte(text[pos:min(len(text), pos+step)])
		for len(p) > 0 && !c.Done() {
			n, is, err := c.Next(p)
			if err != nil {
				return "", err
			}
			if is {
				data = append(data, p[:n]...)
			}
			p, pos = p[n:], pos+n
		}
	}
	if !c.Done() {
		return "", io.ErrUnexpectedEOF
	}
	return string(data) + "|" + text[pos:], nil
}

// FuzzRequest holds that net/http takes whatever we take, and sees the same
// request in it.
func FuzzRequest(f *testing.F) {
	for _, text := range malformed {
		f.Add([]byte(text))
	}
	f.Add([]byte("POST /a%20b?c HTTP/1.1\r\nHost: a.lab:80\r\nContent-Length: 3\r\nX: y\r\n\r\nabcGET"))
	f.Add([]byte("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\nTrailer: X\r\n\r\n3;x\r\nabc\r\n0\r\nX: y\r\n\r\nGET"))
	f.Add([]byte("GET http://a/b HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"))
	f.Fuzz(func(t *testing.T, p []byte) {
		var h Head
		if h.ParseRequest(p, 0) != nil {
			return
		}
		src := bytes.NewReader(p)
		br := bufio.NewReaderSize(src, 16)
		req, err := http.ReadRequest(br)
		if err != nil {
			if h.Target[0] == '/' && !strings.Contains(string(h.Target), "%") {
				t.Fatalf("we take what net/http refuses: %q: %v", p, err)
			}
			return // what else a target may be is the router's to judge
		}
		if req.Method != string(h.Method) || req.RequestURI != string(h.Target) || req.ContentLength >= 0 != !h.Chunked {
			t.Fatalf("%q: got %s %s %d", p, req.Method, req.RequestURI, req.ContentLength)
		}
		if h.Target[0] == '/' && req.Host != string(h.Host) {
			t.Fatalf("%q: Host is %q and %q", p, req.Host, h.Host)
		}
		compareBody(t, &h, p, req)
	})
}

// compareBody compares where the body ends and what it is.
func compareBody(t *testing.T, h *Head, p []byte, req *http.Request) {
	theirs, err := io.ReadAll(req.Body)
	if h.Chunked {
		ours, bad := drain(string(p[h.Len:]), len(p))
		if bad == nil && (err != nil || !strings.HasPrefix(ours, string(theirs)+"|")) {
			t.Fatalf("%q: body %q, theirs %q, %v", p, ours, theirs, err)
		}
		return
	}
	if n := int64(len(p) - h.Len); err == nil && int64(len(theirs)) != max(h.Length, 0) || err != nil && n >= h.Length {
		t.Fatalf("%q: length %d, they read %d: %v", p, h.Length, len(theirs), err)
	}
}

// FuzzResponse holds that net/http takes the answers that we take as we do.
func FuzzResponse(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc"))
	f.Add([]byte("HTTP/1.0 404\nX: y\n\nabc"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"))
	f.Fuzz(func(t *testing.T, p []byte) {
		var h Head
		if h.ParseResponse(p) != nil {
			return
		}
		res, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(p)), nil)
		if err != nil {
			t.Fatalf("we take what net/http refuses: %q: %v", p, err)
		}
		if res.StatusCode != h.Code || res.ProtoMinor != h.Minor {
			t.Fatalf("%q: got %d", p, res.StatusCode)
		}
	})
}
