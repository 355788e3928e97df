package source

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// sent is what a brain sends: the order and files, by name.
func sent(t testing.TB, order string, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	b.WriteString(order + "\n")
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for name, text := range files {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestTake(t *testing.T) {
	const order = `{"image":"cluster/web","token":"t","disk_mb":1}`
	for name, c := range map[string]struct {
		sent []byte
		want string // of the error; empty: none
	}{
		"good":     {sent(t, order, map[string]string{"./a/b": "text"}), ""},
		"no order": {[]byte("none"), "read the order"},
		"bad":      {sent(t, "[]", nil), "read the order"},
		"unpacked": {[]byte(order + "\nfiles"), "not packed with gzip"},
		"outside":  {sent(t, order, map[string]string{"../x": ""}), "outside of the folder"},
		"too much": {sent(t, order, map[string]string{"x": strings.Repeat("x", 2<<20)}), "more than 1 MiB"},
	} {
		dir := filepath.Join(t.TempDir(), "source")
		got, err := take(bytes.NewReader(c.sent), dir, Owner{})
		if c.want != "" {
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v, want %s", name, err, c.want)
			}
			continue
		}
		text, readErr := os.ReadFile(filepath.Join(dir, "a/b"))
		if err != nil || readErr != nil || string(text) != "text" || got.Image != "cluster/web" || got.Token != "t" {
			t.Errorf("%s: %+v %v %v", name, got, err, readErr)
		}
	}
}

func FuzzTake(f *testing.F) {
	f.Add(sent(f, `{"disk_mb":1}`, map[string]string{"a": "b"}))
	f.Fuzz(func(t *testing.T, data []byte) {
		top := t.TempDir()
		_, _ = take(bytes.NewReader(data), filepath.Join(top, "source"), Owner{}) // must not panic
		if entries, err := os.ReadDir(top); err != nil || len(entries) > 1 {
			t.Fatalf("something got out: %v %v", entries, err)
		}
	})
}
