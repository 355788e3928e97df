package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"lattice/app"
)

// ErrUntrusted is returned when the server's certificate is not the one of the
// CA that the client was told to trust.
var ErrUntrusted = errors.New("certificate not trusted")

// Errors of the HTTP layer itself. Each is one of app's for a caller who
// doesn't care.
var (
	errMalformed = fmt.Errorf("malformed: %w", app.ErrInvalid)
	errTooLarge  = fmt.Errorf("too large: %w", app.ErrInvalid)
	errMethod    = fmt.Errorf("method not allowed: %w", app.ErrInvalid)
	errForbidden = fmt.Errorf("forbidden: %w", app.ErrUnauthorized)
	errTooMany   = fmt.Errorf("too many: %w", app.ErrUnavailable)
	errInternal  = errors.New("internal error")
)

// A kind is a row of the table that both sides share.
type kind struct {
	err    error
	status int
	code   string
}

// kinds is the one table of errors, statuses and codes. The first row whose
// err matches counts, so the special ones are in front of the general ones.
// The last row is for all others.
var kinds = []kind{
	{errMalformed, http.StatusBadRequest, "malformed"},
	{errTooLarge, http.StatusRequestEntityTooLarge, "too_large"},
	{errMethod, http.StatusMethodNotAllowed, "method_not_allowed"},
	{errForbidden, http.StatusForbidden, "forbidden"},
	{errTooMany, http.StatusTooManyRequests, "too_many"},
	{app.ErrUnauthorized, http.StatusUnauthorized, "unauthorized"},
	{app.ErrInvalid, http.StatusUnprocessableEntity, "invalid"},
	{app.ErrNotFound, http.StatusNotFound, "not_found"},
	{app.ErrExists, http.StatusConflict, "exists"},
	{app.ErrConflict, http.StatusConflict, "conflict"},
	{app.ErrImage, http.StatusUnprocessableEntity, "image"},
	{app.ErrFull, http.StatusInsufficientStorage, "disk_full"},
	{app.ErrUnavailable, http.StatusServiceUnavailable, "unavailable"},
	{context.DeadlineExceeded, http.StatusGatewayTimeout, "timeout"},
	{errInternal, http.StatusInternalServerError, "internal"},
}

// kindOf returns the row for err.
func kindOf(err error) kind {
	for _, k := range kinds {
		if errors.Is(err, k.err) {
			return k
		}
	}
	return kinds[len(kinds)-1]
}

// errorBody is an error on the wire, as a body or as the last line of a stream.
type errorBody struct {
	Error wireError `json:"error"`
}

type wireError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// wire returns err as it is sent.
func wire(err error) errorBody {
	return errorBody{wireError{Code: kindOf(err).code, Message: err.Error()}}
}

// err returns the error that the other side had: it prints as its message and
// is what its code stands for.
func (w wireError) err() error {
	for _, k := range kinds {
		if k.code == w.Code {
			return sayf(k.err, "%s", w.Message)
		}
	}
	return sayf(errInternal, "%s", w.Message) // a code of a newer brain
}

// said is an error that prints as a sentence of its own.
type said struct {
	text  string
	kinds []error // that it is
}

func (e *said) Error() string   { return e.text }
func (e *said) Unwrap() []error { return e.kinds }

// sayf returns an error of the given kind that prints as the sentence only.
func sayf(kind error, format string, args ...any) error {
	return &said{fmt.Sprintf(format, args...), []error{kind}}
}
