package tarball_test

import (
	"archive/tar"
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lattice/internal/tarball"
)

func nothing(t *testing.T) func(string, string) {
	return func(path, why string) { t.Errorf("%s left out: %s", path, why) }
}

func write(t *testing.T, path, text string, mode fs.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func copyTo(t *testing.T, from, to string) error {
	t.Helper()
	var b bytes.Buffer
	if err := tarball.Write(&b, from, nothing(t)); err != nil {
		t.Fatal(err)
	}
	return tarball.Extract(&b, to, tarball.Options{Skipped: nothing(t)})
}

func TestAFolderIsCopiedAsItIs(t *testing.T) {
	dir := t.TempDir()
	src := filepath.Join(dir, "src")
	write(t, filepath.Join(src, "a"), "one", 0o640)
	write(t, filepath.Join(src, "sub/run"), "two", 0o755)
	write(t, filepath.Join(src, strings.Repeat("long/", 40)+"name"), "three", 0o600)
	at := time.Date(2020, 2, 3, 4, 5, 6, 0, time.UTC)
	for _, err := range []error{
		os.Symlink("a", filepath.Join(src, "link")), os.Symlink("/etc/passwd", filepath.Join(src, "away")),
		os.Link(filepath.Join(src, "a"), filepath.Join(src, "twin")),
		os.Mkdir(filepath.Join(src, "locked"), 0o555),
		os.Chtimes(filepath.Join(src, "a"), at, at), os.Chtimes(filepath.Join(src, "locked"), at, at),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	fresh, into := filepath.Join(dir, "fresh"), filepath.Join(dir, "into")
	if err := os.Mkdir(into, 0o755); err != nil {
		t.Fatal(err)
	}
	for to, top := range map[string]string{fresh: fresh, into: filepath.Join(into, "src")} {
		if err := copyTo(t, src, to); err != nil {
			t.Fatal(err)
		}
		same(t, src, top)
	}
	if err := copyTo(t, src+"/.", into); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(into, "sub/run")); string(b) != "two" || err != nil {
		t.Errorf("content of the folder only: %q %v", b, err)
	}
}

func same(t *testing.T, a, b string) {
	t.Helper()
	err := filepath.WalkDir(a, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(a, p)
		x, err := os.Lstat(p)
		if err != nil {
			return err
		}
		y, err := os.Lstat(filepath.Join(b, rel))
		if err != nil {
			t.Errorf("%s: %v", rel, err)
			return nil
		}
		if x.Mode() != y.Mode() {
			t.Errorf("%s: mode %v, want %v", rel, y.Mode(), x.Mode())
		}
		if x.Mode()&fs.ModeSymlink == 0 && x.ModTime().Unix() != y.ModTime().Unix() {
			t.Errorf("%s: time %v, want %v", rel, y.ModTime(), x.ModTime())
		}
		if x.Mode().IsRegular() {
			p1, _ := os.ReadFile(p)
			p2, _ := os.ReadFile(filepath.Join(b, rel))
			if !bytes.Equal(p1, p2) {
				t.Errorf("%s: %q, want %q", rel, p2, p1)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestAFileIsPlacedAsCpDoes(t *testing.T) {
	dir := t.TempDir()
	src := filepath.Join(dir, "file")
	write(t, src, "new", 0o644)
	write(t, filepath.Join(dir, "old"), "old", 0o600)
	if err := os.Mkdir(filepath.Join(dir, "d"), 0o755); err != nil {
		t.Fatal(err)
	}
	for to, want := range map[string]string{"other": "other", "old": "old", "d": "d/file", "d/": "d/file", "d/x": "d/x"} {
		if err := copyTo(t, src, filepath.Join(dir, to)+strings.Repeat("/", strings.Count(to, "/")-strings.Count(strings.TrimSuffix(to, "/"), "/"))); err != nil {
			t.Errorf("to %s: %v", to, err)
		}
		if b, _ := os.ReadFile(filepath.Join(dir, want)); string(b) != "new" {
			t.Errorf("to %s: %s has %q", to, want, b)
		}
	}
	for _, to := range []string{"none/", "none/x", "old/"} {
		if err := copyTo(t, src, dir+"/"+to); err == nil {
			t.Errorf("to %s: no error", to)
		}
	}
}

func TestNothingGetsOut(t *testing.T) {
	for name, entries := range map[string][]tar.Header{
		"parent":     {{Name: "../out", Typeflag: tar.TypeReg}},
		"absolute":   {{Name: "/out", Typeflag: tar.TypeReg}},
		"deep":       {{Name: "a/../../out", Typeflag: tar.TypeReg}},
		"by symlink": {{Name: "s", Typeflag: tar.TypeSymlink, Linkname: ".."}, {Name: "s/out", Typeflag: tar.TypeReg}},
		"far":        {{Name: "s", Typeflag: tar.TypeSymlink, Linkname: "/tmp"}, {Name: "s/lattice-out", Typeflag: tar.TypeReg}},
		"hard link":  {{Name: "h", Typeflag: tar.TypeLink, Linkname: "../secret"}},
	} {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "secret"), "secret", 0o600)
		into := filepath.Join(dir, "into")
		if err := os.Mkdir(into, 0o755); err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		tw := tar.NewWriter(&b)
		for _, h := range entries {
			h.Mode = 0o644
			if err := tw.WriteHeader(&h); err != nil {
				t.Fatal(err)
			}
		}
		if err := tw.Close(); err != nil {
			t.Fatal(err)
		}
		if err := tarball.Extract(&b, into, tarball.Options{Skipped: nothing(t)}); err == nil {
			t.Errorf("%s: no error", name)
		}
		for _, out := range []string{filepath.Join(dir, "out"), "/out", "/tmp/lattice-out"} {
			if _, err := os.Lstat(out); err == nil {
				t.Errorf("%s: %s was made", name, out)
			}
		}
	}
}

func FuzzExtract(f *testing.F) {
	var b bytes.Buffer
	tw := tar.NewWriter(&b)
	_ = tw.WriteHeader(&tar.Header{Name: "d/", Typeflag: tar.TypeDir, Mode: 0o755})
	_ = tw.WriteHeader(&tar.Header{Name: "d/f", Typeflag: tar.TypeReg, Mode: 0o644, Size: 1})
	_, _ = tw.Write([]byte("x"))
	_ = tw.Close()
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, in []byte) {
		dir := t.TempDir()
		into := filepath.Join(dir, "into")
		if err := os.Mkdir(into, 0o755); err != nil {
			t.Fatal(err)
		}
		_ = tarball.Extract(bytes.NewReader(in), into, tarball.Options{Skipped: func(string, string) {}})
		left, err := os.ReadDir(dir)
		if err != nil || len(left) != 1 {
			t.Fatalf("something got out: %v %v", left, err)
		}
	})
}
