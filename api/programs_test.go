package api_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"lattice/api"
	"lattice/app"
)

// shelf is Programs with one program.
type shelf struct{ text string }

func (s shelf) Program(goos, goarch string) (api.Program, error) {
	if goos != "plan9" {
		return api.Program{}, fmt.Errorf("program for %s/%s %w", goos, goarch, app.ErrNotFound)
	}
	sum := sha256.Sum256([]byte(s.text))
	return api.Program{File: file{strings.NewReader(s.text)}, Size: int64(len(s.text)), SHA256: hex.EncodeToString(sum[:])}, nil
}

type file struct{ *strings.Reader }

func (file) Close() error { return nil }

func TestProgram(t *testing.T) {
	text := strings.Repeat("program ", 100_000)
	b := start(t, &backend{}, func(cfg *api.ServerConfig) { cfg.Programs = shelf{text} })
	var got bytes.Buffer
	var size int64
	var sum string
	open := func(n int64, s string) (io.Writer, error) { size, sum = n, s; return &got, nil }
	if err := b.user.Program(t.Context(), "plan9", "arm", open); err != nil {
		t.Fatal(err)
	}
	want := sha256.Sum256([]byte(text))
	if got.String() != text || size != int64(len(text)) || sum != hex.EncodeToString(want[:]) {
		t.Errorf("got %d bytes of %d, sum %s", got.Len(), size, sum)
	}
	if err := b.user.Program(t.Context(), "linux", "arm", open); !errors.Is(err, app.ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
	full := errors.New("full")
	if err := b.user.Program(t.Context(), "plan9", "arm", func(int64, string) (io.Writer, error) { return nil, full }); err != full {
		t.Errorf("got %v, want what open returned", err)
	}
}

func TestDebugLogs(t *testing.T) {
	back := &backend{}
	back.tail = func(name string, _ int) []app.LogLine {
		return []app.LogLine{{App: name, GUID: "log.x", Seq: 1, Source: "cell-1", Stream: app.Platform, Text: "INFO hello"}}
	}
	back.status = func(string) (app.Status, error) { return app.Status{}, app.ErrNotFound }
	b := start(t, back)
	var got []string
	err := b.user.DebugLogs(t.Context(), api.LogOptions{Lines: -1}, func(l app.LogLine) error { got = append(got, l.Source+" "+l.Text); return nil })
	if err != nil || len(got) != 1 || got[0] != "cell-1 INFO hello" {
		t.Errorf("got %q, %v", got, err)
	}
	if err := b.user.Logs(t.Context(), app.DebugLog, api.LogOptions{}, nil); !errors.Is(err, app.ErrNotFound) {
		t.Errorf("as an app: got %v, want ErrNotFound", err)
	}
}
