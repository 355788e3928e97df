package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"lattice/app"
)

// bodyTime is how long a body may take to arrive.
const bodyTime = 30 * time.Second

// withBody calls read with the request's body, which ends with an error when
// it is longer than limit or takes longer than bodyTime.
func withBody(c *gin.Context, limit int64, read func(io.Reader) error) error {
	ctl := http.NewResponseController(c.Writer)
	if err := ctl.SetReadDeadline(time.Now().Add(bodyTime)); err != nil {
		return fmt.Errorf("limit the time of a body: %w", err)
	}
	err := read(http.MaxBytesReader(c.Writer, c.Request.Body, limit))
	var big *http.MaxBytesError
	switch {
	case errors.As(err, &big):
		return sayf(errTooLarge, "the body has more than %d MiB, which is the most that is taken here", big.Limit>>20)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return sayf(errMalformed, "the body did not arrive within %s", bodyTime)
	}
	// The deadline would otherwise hit the server while it waits for the next
	// request of this connection and end the context of this one.
	return errors.Join(err, ctl.SetReadDeadline(time.Time{}))
}

// readStrict reads one JSON value into v. It accepts no field that v doesn't
// have, for what a user misspelled must not be dropped in silence.
func readStrict(c *gin.Context, v any) error {
	return withBody(c, maxBody, func(r io.Reader) error {
		dec := json.NewDecoder(r)
		dec.DisallowUnknownFields()
		return decode(dec, v)
	})
}

// readLenient reads one JSON value of a cell into v.
func readLenient(c *gin.Context, v any) error {
	return withBody(c, maxCellBody, func(r io.Reader) error { return decode(json.NewDecoder(r), v) })
}

func decode(dec *json.Decoder, v any) error {
	if err := dec.Decode(v); err != nil {
		return explain(err, v)
	}
	switch _, err := dec.Token(); {
	case err == io.EOF:
		return nil
	case isTransport(err):
		return err
	}
	return sayf(errMalformed, "the body goes on after the JSON value: send one value only")
}

func isTransport(err error) bool {
	var big *http.MaxBytesError
	return errors.As(err, &big) || errors.Is(err, os.ErrDeadlineExceeded)
}

// explain turns an error of encoding/json into a sentence for people.
func explain(err error, v any) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case isTransport(err) || errors.Is(err, app.ErrInvalid):
		return err
	case err == io.EOF:
		return sayf(errMalformed, "the body is empty: send %s as JSON", wanted(reflect.TypeOf(v).Elem()))
	case errors.Is(err, io.ErrUnexpectedEOF):
		return sayf(errMalformed, "the JSON ends too early: a bracket or quote is not closed")
	case errors.As(err, &syntax):
		return sayf(errMalformed, "the body is not JSON: %v (byte %d)", syntax, syntax.Offset)
	case errors.As(err, &kind) && kind.Field == "":
		return sayf(errMalformed, "the body must be %s, not %s", wanted(kind.Type), kind.Value)
	case errors.As(err, &kind):
		return sayf(errMalformed, "%q: %s is wanted, not %s", kind.Field, wanted(kind.Type), kind.Value) // of what is in a map or list, Field is the whole
	}
	if field, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok { // it has no type
		return sayf(errMalformed, "there is no field %s here: check its spelling", field)
	}
	return sayf(errMalformed, "the body can't be read: %v", err)
}

// wanted says in plain words what JSON a Go type is written as.
func wanted(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[app.Duration]():
		return `a time such as "30s" or "1m30s"`
	case t.Kind() == reflect.Pointer:
		return wanted(t.Elem())
	}
	switch t.Kind() {
	case reflect.String:
		return "a text in quotes"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice, reflect.Array:
		return "a list in [ ]"
	case reflect.Struct, reflect.Map:
		return "an object in { }"
	}
	return "a whole number"
}

// answer sends v as JSON.
func (s *server) answer(c *gin.Context, status int, v any) {
	if hides(c) {
		v = conceal(v)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // nobody puts this into HTML, and people read it
	if err := enc.Encode(v); err != nil {
		panic(fmt.Sprintf("encode %T: %v", v, err)) // our own types can always be encoded
	}
	c.Data(status, "application/json", b.Bytes())
}
