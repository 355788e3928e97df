package images

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"lattice/app"
)

// errNoTLS is returned when a registry would have to be asked without TLS and
// nobody said that this is meant.
var errNoTLS = errors.New("it does not speak TLS")

// errNotPushed is the cause when an image of ours was never pushed.
var errNotPushed = errors.New("not in the registry")

// A pullError says in a sentence why an image can't be had.
type pullError struct {
	ref      ref
	sentence string
	cause    error
}

func (e *pullError) Error() string   { return fmt.Sprintf("image %s: %s", e.ref, e.sentence) }
func (e *pullError) Unwrap() []error { return []error{app.ErrImage, e.cause} }

// explain turns what went wrong with an image into a pullError.
func explain(r ref, s source, err error) error {
	var done *pullError
	if errors.As(err, &done) || errors.Is(err, context.Canceled) {
		return err
	}
	return &pullError{r, sentence(r, s, err), err}
}

// both returns what is to be said of a mirror and its registry, of which either may
// be nil. What the registry says counts.
func both(r ref, mirror, origin error) error {
	var first, then *pullError
	if !errors.As(mirror, &first) || !errors.As(origin, &then) {
		return cmp.Or(origin, mirror)
	}
	return &pullError{r, first.sentence + "; and " + then.sentence, then.cause}
}

func sentence(r ref, s source, err error) string {
	host := "registry " + r.host
	if s.Mirror != "" {
		host = "the mirror " + s.Mirror
	}
	var dns *net.DNSError
	var cert *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var status *transport.Error
	var timeout net.Error
	switch text := err.Error(); {
	case errors.Is(err, app.ErrInvalid):
		return text
	case errors.As(err, &dns) && dns.IsNotFound:
		return fmt.Sprintf("%s is unknown: no such host; check the name", host)
	case errors.As(err, &dns):
		return fmt.Sprintf("%s can't be looked up: %s", host, dns.Err)
	case errors.As(err, &cert):
		return fmt.Sprintf("the certificate of %s is not trusted (%v): name its CA with 'ltc registry add %s --ca FILE'", host, cert.Err, r.host)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Sprintf("%s refuses connections; is it running?", host)
	case errors.Is(err, errNoTLS), errors.As(err, &record), strings.Contains(text, "server gave HTTP response to HTTPS client"):
		return fmt.Sprintf("%s does not speak TLS; if that is meant: ltc registry add %s --plain-http", host, r.host)
	case errors.As(err, &status):
		return refused(r, s, host, status)
	case errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("%s does not answer in time", host)
	case errors.Is(err, syscall.ENOSPC):
		return "no space is left on the brain's disk; 'ltc images prune' frees what nobody uses"
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		return fmt.Sprintf("%s broke off, also when asked again", host)
	default:
		return text
	}
}

// refused explains an answer that is no 200.
func refused(r ref, s source, host string, e *transport.Error) string {
	switch code := e.StatusCode; {
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		if s.Username != "" {
			return fmt.Sprintf("%s does not let the user %s have it: the password is wrong, or it may not read it, or it does not exist", host, s.Username)
		}
		return fmt.Sprintf("%s does not let us have it: it does not exist or needs a login: ltc registry login %s --username NAME", host, r.host)
	case code == http.StatusNotFound:
		return fmt.Sprintf("%s has no such image or tag; check the name", host)
	case code == http.StatusTooManyRequests:
		return fmt.Sprintf("%s says too many requests; try again later", host)
	default: // not its text, which has a URL that may be signed
		return fmt.Sprintf("%s answers %d %s", host, code, http.StatusText(code))
	}
}
