package node

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"lattice/app"
)

func TestPrograms(t *testing.T) {
	dir := t.TempDir()
	p := newPrograms(dir)
	own, err := p.Program(runtime.GOOS, runtime.GOARCH)
	if err != nil {
		t.Fatal(err)
	}
	own.File.Close()
	if len(own.SHA256) != 64 || own.Size == 0 {
		t.Errorf("got %+v", own)
	}
	if _, err := p.Program("darwin", "arm64"); !errors.Is(err, app.ErrNotFound) || !strings.Contains(err.Error(), runtime.GOOS+"/"+runtime.GOARCH) {
		t.Errorf("got %v", err)
	}
	path := filepath.Join(dir, "lattice-windows-amd64.exe")
	for _, text := range []string{"one", "another"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := p.Program("windows", "amd64")
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(got.File)
		got.File.Close()
		if string(b) != text {
			t.Errorf("got %q, want %q", b, text)
		}
	}
	for _, bad := range []string{"..", "", "a/b", "LINUX"} {
		if _, err := p.Program(bad, "amd64"); !errors.Is(err, app.ErrInvalid) {
			t.Errorf("%q: got %v, want ErrInvalid", bad, err)
		}
	}
}
