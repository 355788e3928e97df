package containerd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"strings"
	"syscall"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	remoteerrors "github.com/containerd/containerd/v2/core/remotes/errors"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"

	"lattice/cells"
)

// A refError says in a sentence why an image can't be had.
type refError struct {
	ref      string
	sentence string
	cause    error
}

func (e *refError) Error() string   { return fmt.Sprintf("image %s: %s", e.ref, e.sentence) }
func (e *refError) Unwrap() []error { return []error{cells.ErrImage, e.cause} }

// imageError turns what containerd says about the image ref into a refError.
func imageError(ref string, err error) error {
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("image %s: %w", ref, err)
	}
	return &refError{strings.TrimPrefix(ref, bundledPrefix), explainPull(ref, err), err}
}

func explainPull(ref string, err error) string {
	host := "the registry"
	if n, perr := reference.ParseNormalizedNamed(ref); perr == nil {
		host = "registry " + reference.Domain(n)
	}
	var dns *net.DNSError
	var cert *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var status remoteerrors.ErrUnexpectedStatus
	var timeout net.Error
	var platform platformError
	switch text := err.Error(); {
	case errors.As(err, &dns):
		if dns.IsNotFound {
			return fmt.Sprintf("%s is unknown: no such host; check the name", host)
		}
		return fmt.Sprintf("%s can't be looked up: %s", host, dns.Err)
	case errors.Is(err, docker.ErrInvalidAuthorization), errors.As(err, &status) && denied(status.StatusCode):
		return fmt.Sprintf("%s does not let us have it: it does not exist or needs a login", host)
	case errors.As(err, &platform):
		return string(platform)
	case strings.Contains(text, "no match for platform"):
		return fmt.Sprintf("it has no variant for %s/%s", runtime.GOOS, runtime.GOARCH)
	case errdefs.IsNotFound(err):
		return fmt.Sprintf("%s has no such image or tag; check the name", host)
	case errors.As(err, &cert):
		return fmt.Sprintf("the certificate of %s is not trusted: %v", host, cert.Err)
	case errors.As(err, &record), strings.Contains(text, "server gave HTTP response to HTTPS client"):
		return fmt.Sprintf("%s does not speak TLS; name it as a plain HTTP registry if that is meant", host)
	case status.StatusCode == http.StatusBadRequest && strings.HasPrefix(status.RequestURL, "http://"):
		return fmt.Sprintf("%s answers %s to plain HTTP; does it want TLS?", host, status.Status)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Sprintf("%s refuses connections; is it running?", host)
	case errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Sprintf("%s does not answer in time", host)
	case errors.As(err, &status) && status.StatusCode == http.StatusTooManyRequests:
		return fmt.Sprintf("%s says too many requests; try again later", host)
	case errors.Is(err, syscall.ENOSPC):
		return "no space is left on this cell's disk"
	case errors.As(err, &status): // not its text, which has a URL that may be signed
		return fmt.Sprintf("%s answers %s", host, status.Status)
	default:
		return text
	}
}

func denied(status int) bool {
	return status == http.StatusUnauthorized || status == http.StatusForbidden
}

// platformError says that an image is for another kind of machine.
type platformError string

func (e platformError) Error() string { return string(e) }
