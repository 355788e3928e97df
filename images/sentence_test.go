package images

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"lattice/app"
)

// Each cause gives a sentence that names it, and what to do where something can be
// done. No sentence has what a registry or an address has in it.
func TestSentences(t *testing.T) {
	status := func(code int) error {
		return &transport.Error{StatusCode: code, Errors: []transport.Diagnostic{{Message: "s1gned"}}}
	}
	known, user := source{}, source{Registry: app.Registry{Username: "me"}, password: "s3cret"}
	mirrored := source{Registry: app.Registry{Mirror: "https://mirror.lan"}}
	for _, tt := range []struct {
		err  error
		s    source
		want string
	}{
		{&net.DNSError{IsNotFound: true}, known, "registry r.lan is unknown: no such host; check the name"},
		{&net.DNSError{Err: "server misbehaving"}, known, "registry r.lan can't be looked up: server misbehaving"},
		{&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, known, "'ltc registry add r.lan --ca FILE'"},
		{fmt.Errorf("dial: %w", syscall.ECONNREFUSED), known, "registry r.lan refuses connections; is it running?"},
		{errNoTLS, known, "ltc registry add r.lan --plain-http"},
		{errors.New("http: server gave HTTP response to HTTPS client"), known, "does not speak TLS"},
		{status(401), known, "needs a login: ltc registry login r.lan --username NAME"},
		{status(403), user, "does not let the user me have it: the password is wrong"},
		{status(404), known, "has no such image or tag; check the name"},
		{status(429), known, "too many requests; try again later"},
		{status(500), known, "registry r.lan answers 500 Internal Server Error"},
		{context.DeadlineExceeded, known, "does not answer in time"},
		{&net.OpError{Err: syscall.ENOSPC}, known, "no space is left on the brain's disk; 'ltc images prune'"},
		{io.ErrUnexpectedEOF, known, "broke off, also when asked again"},
		{fmt.Errorf("read: %w", syscall.ECONNRESET), mirrored, "the mirror https://mirror.lan broke off"},
		{app.Invalid("what"), known, "what"},
		{errors.New("something new"), known, "something new"},
	} {
		x := ref{host: "r.lan", repo: "web", tag: "1"}
		err := explain(x, tt.s, tt.err)
		if !errors.Is(err, app.ErrImage) || !errors.Is(err, tt.err) || !strings.HasPrefix(err.Error(), "image r.lan/web:1: ") {
			t.Errorf("%v: got %v", tt.err, err)
		}
		if got := err.Error(); !strings.Contains(got, tt.want) || strings.Contains(got, "s1gned") || strings.Contains(got, "s3cret") {
			t.Errorf("%v: got %q, want %q", tt.err, got, tt.want)
		}
		if again := explain(x, tt.s, err); again != err {
			t.Errorf("explained twice: %v", again)
		}
	}
	if err := explain(ref{}, known, context.Canceled); err != context.Canceled {
		t.Errorf("who left is told %v", err)
	}
	if refused(ref{}, known, "x", &transport.Error{StatusCode: http.StatusTeapot}) != "x answers 418 I'm a teapot" {
		t.Error("an odd status")
	}
}

// A name that is read is written the same way, and where it is stored leads back.
func FuzzRef(f *testing.F) {
	for _, s := range []string{
		"nginx", "nginx:1.29", "library/nginx", "team/web@sha256:" + strings.Repeat("a", 64), "r.lan:5000/x/y:z", "localhost/x", "localhost:5000/x",
		"cluster/web:1", "cluster/a/b", "[::1]:5000/x", "Nginx", "../x", "a//b", "r.lan/x:1@sha256:" + strings.Repeat("b", 64), "10.0.0.1/x", "docker.io/nginx", "R.LAN/x", "FOO/x", "x:", "",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := parse(text)
		if err != nil {
			if !errors.Is(err, app.ErrInvalid) {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		if r.tag == "" && r.digest == "" || r.repo == "" {
			t.Fatalf("%q: %+v", text, r)
		}
		again, err := parse(r.String())
		if err != nil || again.host != r.host || again.repo != r.repo || again.target() != r.target() {
			t.Errorf("%q is %+v, written %q, read again %+v, %v", text, r, r, again, err)
		}
		if strings.Contains(r.stored(), "..") || strings.HasPrefix(r.stored(), "/") {
			t.Errorf("%q would be stored at %q", text, r.stored())
		}
		if back := fromStored(r.stored()); r.host != "" && (back.host != strings.ToLower(r.host) || back.repo != r.repo) {
			t.Errorf("%q is stored at %q, which is %+v", text, r.stored(), back)
		}
	})
}
