package logfile_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lattice/app"
	"lattice/cells/logfile"
)

// fill writes lines of about 1 KiB until the log has n.
func fill(t testing.TB, w *logfile.Writer, n int) {
	t.Helper()
	l := w.Lines(app.Stdout, app.SourceApp)
	for i := range n {
		if err := l.Add(time.Unix(int64(i), 0), fmt.Appendf(nil, "%d %s\n", i, strings.Repeat("x", 1000))); err != nil {
			t.Fatal(err)
		}
	}
}

func TestNoLogYet(t *testing.T) {
	if _, err := logfile.OpenReader(filepath.Join(t.TempDir(), "guid"), 0); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want fs.ErrNotExist", err)
	}
}

func TestReaderStartsAnywhere(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "guid")
	fill(t, open(t, dir, 10<<20), 3000) // several segments
	for _, after := range []uint64{0, 1, 999, 1030, 2998, 2999, 3000, 5000} {
		got := readAll(t, dir, after)
		inOrder(t, after, got)
		if want := max(0, 3000-int(after)); len(got) != want {
			t.Errorf("after %d: got %d lines, want %d", after, len(got), want)
		}
	}
}

func TestReaderFollowsTheWriter(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "guid")
	w := open(t, dir, 1<<20)
	r, err := logfile.OpenReader(dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	var all []app.LogLine
	for range 400 { // many segments
		fill(t, w, 10)
		for n := -1; n != len(all); {
			n = len(all)
			if all, err = r.Read(all, 16<<10); err != nil {
				t.Fatal(err)
			}
		}
	}
	inOrder(t, 0, all)
	if len(all) != 4000 || r.After() != 4000 {
		t.Errorf("got %d lines up to %d, want 4000", len(all), r.After())
	}
}

func TestOvertakenReaderSaysWhatItMissed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "guid")
	w := open(t, dir, 1<<20)
	fill(t, w, 5)
	r, err := logfile.OpenReader(dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	got, err := r.Read(nil, 1<<20)
	if err != nil || len(got) != 5 {
		t.Fatalf("got %d lines, %v", len(got), err)
	}
	fill(t, w, 3000)
	if got, err = r.Read(nil, 1<<20); err != nil {
		t.Fatal(err)
	}
	inOrder(t, 5, got)
	first := got[0]
	want := fmt.Sprintf("%d lines dropped: the log of this instance grew faster than it could be delivered (limit 1 MiB)", first.Seq-5)
	if !first.IsLoss() || first.Text != want || first.GUID != "guid" || first.App != "web" || first.At != got[1].At {
		t.Errorf("got %+v, want %q", first, want)
	}
	if last := readAll(t, dir, 5); last[len(last)-1].Seq != 3005 {
		t.Errorf("ends with %d, want 3005", last[len(last)-1].Seq)
	}
}

func TestDamageIsPassedOver(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "guid")
	fill(t, open(t, dir, 10<<20), 3000)
	name := filepath.Join(dir, fmt.Sprintf("%020d.log", 1))
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	clear(data[100_000:400_000]) // longer than any line
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	got := readAll(t, dir, 0)
	inOrder(t, 0, got)
	n := 0
	for i, l := range got {
		if l.IsLoss() {
			n++
			if want := fmt.Sprintf("%d lines dropped: the log was damaged on disk", l.Seq-got[i-1].Seq); l.Text != want {
				t.Errorf("got %q, want %q", l.Text, want)
			}
		}
	}
	if n != 1 || got[len(got)-1].Seq != 3000 {
		t.Errorf("%d losses told, last line %d, want 1 and 3000", n, got[len(got)-1].Seq)
	}
}

// Whatever is in a segment, a Reader comes to its end, and Seq only grows.
func FuzzReader(f *testing.F) {
	good := app.AppendLogLine(nil, app.LogLine{Seq: 1, Text: "one"})
	f.Add(good, good)
	f.Add([]byte("junk\n"), app.AppendLogLine(good, app.LogLine{Seq: 9, Text: "nine"}))
	f.Add(append(good, "torn"...), []byte{0, 0, 0})
	f.Fuzz(func(t *testing.T, first, second []byte) {
		dir := filepath.Join(t.TempDir(), "guid")
		open(t, dir, 0)
		for name, data := range map[int][]byte{1: first, 7: second} {
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%020d.log", name)), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		last := uint64(0)
		for _, l := range readAll(t, dir, 0) {
			if l.Seq <= last {
				t.Fatalf("line %d after %d", l.Seq, last)
			}
			last = l.Seq
		}
	})
}
