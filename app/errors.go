package app

import (
	"errors"
	"fmt"
)

// Errors that cross package borders; check them with errors.Is.
var (
	ErrNotFound     = errors.New("not found")                     // is returned when no such thing exists
	ErrExists       = errors.New("already exists")                // is returned when the name is taken
	ErrInvalid      = errors.New("invalid")                       // is returned when input can't be accepted
	ErrUnauthorized = errors.New("not authorised")                // is returned when the token is missing or wrong
	ErrConflict     = errors.New("changed by somebody else")      // is returned when a condition of a change doesn't hold any more
	ErrUnavailable  = errors.New("unavailable")                   // is returned when a part that is needed doesn't answer
	ErrImage        = errors.New("image can't be had")            // is returned when an image does not exist or its registry doesn't give it
	ErrFull         = errors.New("the disk of the brain is full") // is returned when a change can't be written for want of space
)

// Invalid returns an error that is ErrInvalid and prints as the sentence only.
func Invalid(format string, args ...any) error {
	return invalid(fmt.Sprintf(format, args...))
}

type invalid string

func (e invalid) Error() string        { return string(e) }
func (e invalid) Is(target error) bool { return target == ErrInvalid }

// Unauthorized returns an error that is ErrUnauthorized and prints as the
// sentence only.
func Unauthorized(format string, args ...any) error {
	return unauthorized(fmt.Sprintf(format, args...))
}

type unauthorized string

func (e unauthorized) Error() string        { return string(e) }
func (e unauthorized) Is(target error) bool { return target == ErrUnauthorized }
