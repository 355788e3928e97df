package containerd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"syscall"

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
	var status remoteerrors.ErrUnexpectedStatus
	var timeout net.Error
	var platform platformError
	var refused refusal
	switch text := err.Error(); {
	case errors.As(err, &platform):
		return string(platform)
	case strings.Contains(text, "no match for platform"):
		return fmt.Sprintf("it has no variant for %s/%s", runtime.GOOS, runtime.GOARCH)
	case errors.As(err, &refused):
		return string(refused)
	case errdefs.IsNotFound(err):
		return fmt.Sprintf("%s has no such image or tag; check the name", host)
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.EHOSTUNREACH):
		return "the brain, through which it comes, does not answer"
	case errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Sprintf("%s does not answer in time", host)
	case errors.Is(err, syscall.ENOSPC):
		return "no space is left on this cell's disk"
	case errors.As(err, &status): // not its text, which has a URL that may be signed
		return fmt.Sprintf("%s answers %s", host, status.Status)
	default:
		return text
	}
}

// told returns the sentence with which the brain's registry refuses, or "".
func told(body []byte) string {
	var answer struct {
		Errors []struct{ Message string } `json:"errors"`
	}
	if json.Unmarshal(body, &answer) != nil || len(answer.Errors) == 0 {
		return ""
	}
	_, sentence, ok := strings.Cut(answer.Errors[0].Message, ": ") // behind "image X"
	if !ok {
		return answer.Errors[0].Message
	}
	return sentence
}

// platformError says that an image is for another kind of machine.
type platformError string

func (e platformError) Error() string { return string(e) }
