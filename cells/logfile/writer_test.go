package logfile_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"lattice/app"
	"lattice/cells/logfile"
)

// testID is the ID of most logs here.
func testID(guid string) logfile.ID { return logfile.ID{App: "web", Index: 2, GUID: guid} }

// open opens a log in a folder of its own and closes it in the end.
func open(t testing.TB, dir string, limit int64) *logfile.Writer {
	t.Helper()
	w, err := logfile.Open(dir, testID(filepath.Base(dir)), limit)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

// readAll reads a log from after a Seq to its end.
func readAll(t testing.TB, dir string, after uint64) []app.LogLine {
	t.Helper()
	r, err := logfile.OpenReader(dir, after)
	if err != nil {
		t.Fatal(err)
	}
	var all []app.LogLine
	for {
		n := len(all)
		if all, err = r.Read(all, 64<<10); err != nil {
			t.Fatal(err)
		}
		if len(all) == n {
			return all
		}
	}
}

// inOrder fails unless Seq grows by one with each line or by what a line says
// is missing.
func inOrder(t testing.TB, after uint64, lines []app.LogLine) {
	t.Helper()
	for i, l := range lines {
		if l.Seq != after+1 && !(l.IsLoss() && l.Seq > after) {
			t.Fatalf("line %d has Seq %d after %d: %.80q", i, l.Seq, after, l.Text)
		}
		after = l.Seq
	}
}

func TestLinesAreCut(t *testing.T) {
	long := strings.Repeat("x", app.MaxLine)
	euros := strings.Repeat("€", app.MaxLine/3+1) // app.MaxLine is a multiple of 3
	cases := map[string]struct {
		in   []string
		want []string
	}{
		"lines":              {[]string{"a\nb\n"}, []string{"a", "b"}},
		"empty ones":         {[]string{"\n\na\n\n"}, []string{"", "", "a", ""}},
		"carriage returns":   {[]string{"a\r\nb\rc\r\r\n\r\n"}, []string{"a", "b\rc\r", ""}},
		"in pieces":          {[]string{"a", "b", "\nc", "\r", "\nd\n"}, []string{"ab", "c", "d"}},
		"no newline at end":  {[]string{"a\nb"}, []string{"a", "b"}},
		"not even that":      {[]string{"a\n"}, []string{"a"}},
		"longest":            {[]string{long + "\n"}, []string{long}},
		"longest, CR":        {[]string{long, "\r\n"}, []string{long}},
		"longest, no end":    {[]string{long}, []string{long}},
		"too long":           {[]string{long + "y\nz\n"}, []string{long + "+", "y", "z"}},
		"too long, pieces":   {[]string{long, "y", "y", "\nz\n"}, []string{long + "+", "yy", "z"}},
		"very long":          {[]string{long + long, long + "\nz\n"}, []string{long + "+", long + "+", long, "z"}},
		"cut at a character": {[]string{"a" + euros + "\n"}, []string{"a" + euros[:app.MaxLine-3] + "+", euros[:6]}},
	}
	for name, c := range cases {
		dir := filepath.Join(t.TempDir(), "guid")
		w := open(t, dir, 0)
		l := w.Lines(app.Stdout, app.SourceApp)
		at := time.Unix(5, 0).UTC()
		for _, s := range c.in {
			if err := l.Add(at, []byte(s)); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.End(at); err != nil {
			t.Fatal(err)
		}
		var got []string
		for i, l := range readAll(t, dir, 0) {
			if !utf8.ValidString(l.Text) {
				t.Errorf("%s: line %d is torn inside a character", name, i)
			}
			if l.Partial {
				l.Text += "+"
			}
			got = append(got, l.Text)
			l.Text, l.Partial = "", false
			want := app.LogLine{App: "web", Index: 2, GUID: "guid", Seq: uint64(i + 1), At: at, Stream: app.Stdout, Source: app.SourceApp}
			if l != want {
				t.Errorf("%s: got %+v, want %+v", name, l, want)
			}
		}
		if fmt.Sprintf("%.40q", got) != fmt.Sprintf("%.40q", c.want) || strings.Join(got, "\n") != strings.Join(c.want, "\n") {
			t.Errorf("%s: got %.40q, want %.40q", name, got, c.want)
		}
	}
}

func TestLogIsBounded(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "guid")
	w := open(t, dir, 1<<20)
	l := w.Lines(app.Stdout, app.SourceApp)
	for _, text := range []string{"short\n", strings.Repeat("x", 100) + "\n", strings.Repeat("\x00", 70_000) + "\n", "\n"} {
		for range 80 {
			if err := l.Add(time.Now(), []byte(strings.Repeat(text, 1+10_000/len(text)))); err != nil {
				t.Fatal(err)
			}
			if n := diskUse(t, dir); n > 1<<20 {
				t.Fatalf("the log takes %d bytes, want 1 MiB at most", n)
			}
		}
	}
	got := readAll(t, dir, 0)
	inOrder(t, 0, got)
	if want := fmt.Sprintf("%d earlier lines are no longer kept: the log of an instance is limited to 1 MiB", got[0].Seq); got[0].Text != want {
		t.Errorf("begins with %q, want %q", got[0].Text, want)
	}
	if n := diskUse(t, dir); n < 800<<10 {
		t.Errorf("only %d bytes of 1 MiB are used", n)
	}
}

// diskUse adds up the segments in dir.
func diskUse(t testing.TB, dir string) (n int64) {
	t.Helper()
	names, _ := filepath.Glob(filepath.Join(dir, "*.log"))
	for _, name := range names {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		n += info.Size()
	}
	return n
}

func TestOneOwner(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "guid")
	w := open(t, dir, 0)
	if _, err := logfile.Open(dir, testID("guid"), 0); !errors.Is(err, app.ErrConflict) {
		t.Errorf("second owner: got %v, want ErrConflict", err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := logfile.Open(dir, logfile.ID{App: "other", GUID: "guid"}, 0); !errors.Is(err, app.ErrConflict) {
		t.Errorf("log of another app: got %v, want ErrConflict", err)
	}
	if _, err := logfile.Open(dir, testID("other"), 0); !errors.Is(err, app.ErrInvalid) {
		t.Errorf("folder of another GUID: got %v, want ErrInvalid", err)
	}
	open(t, dir, 0)
}

func TestTornLineIsMended(t *testing.T) {
	for name, junk := range map[string]string{
		"torn line": "\t0\t\t3\t170000", "zeros": "\x00\x00\x00\x00\x00", "no line": "junk\n", "a lot": strings.Repeat("x", 1<<20), "nothing": "",
	} {
		dir := filepath.Join(t.TempDir(), "guid")
		w := open(t, dir, 0)
		w.Append(time.Now(), app.Stdout, app.SourceApp, "one")
		w.Append(time.Now(), app.Stdout, app.SourceApp, "two")
		w.Close()
		f, err := os.OpenFile(filepath.Join(dir, fmt.Sprintf("%020d.log", 1)), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString(junk); err != nil || f.Close() != nil {
			t.Fatal(err)
		}
		if got := readAll(t, dir, 0); len(got) != 2 {
			t.Errorf("%s: read %d lines before the repair, want 2", name, len(got))
		}
		open(t, dir, 0).Append(time.Now(), app.Stdout, app.SourceApp, "three")
		got := readAll(t, dir, 0)
		inOrder(t, 0, got)
		if len(got) != 3 || got[2].Text != "three" {
			t.Errorf("%s: got %d lines after the repair, want 3", name, len(got))
		}
	}
}

// A process that writes is killed again and again. What it said it had written
// is there, and the log goes on where it stopped.
func TestKilledWhileWriting(t *testing.T) {
	if dir := os.Getenv("LOGFILE_TEST_WRITE"); dir != "" {
		writeForEver(dir)
	}
	dir := filepath.Join(t.TempDir(), "guid")
	var last uint64
	for round := range 8 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKilledWhileWriting$")
		cmd.Env = append(os.Environ(), "LOGFILE_TEST_WRITE="+dir)
		said, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var seq uint64
		sc := bufio.NewScanner(said)
		for n := 0; n < 100+37*round && sc.Scan(); n++ {
			if _, err := fmt.Sscanf(sc.Text(), "wrote %d", &seq); err != nil {
				t.Errorf("writer says %q", sc.Text())
				break
			}
		}
		cmd.Process.Signal(syscall.SIGKILL)
		for sc.Scan() {
			fmt.Sscanf(sc.Text(), "wrote %d", &seq)
		}
		cmd.Wait()
		got := readAll(t, dir, last)
		inOrder(t, last, got)
		if len(got) == 0 || got[len(got)-1].Seq < seq {
			t.Fatalf("round %d: %d lines after %d, but %d was written", round, len(got), last, seq)
		}
		last = got[len(got)-1].Seq
	}
}

// writeForEver is the process that gets killed. It says after each batch how
// far it has come.
func writeForEver(dir string) {
	w, err := logfile.Open(dir, testID(filepath.Base(dir)), 1<<20)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	l := w.Lines(app.Stdout, app.SourceApp)
	r, err := logfile.OpenReader(dir, 0)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	for i := 0; ; i++ {
		if err := l.Add(time.Now(), []byte(strings.Repeat(fmt.Sprintf("line of batch %d\n", i), 1+i%50))); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		for {
			lines, err := r.Read(nil, 1<<20)
			if err != nil {
				fmt.Println(err)
				os.Exit(1)
			}
			if len(lines) == 0 {
				break
			}
		}
		fmt.Println("wrote", r.After())
	}
}

// A disk that is full makes the writer drop lines, count them, and say so when
// there is room again. The disk is a small tmpfs.
func TestDiskFull(t *testing.T) {
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=3m"); err != nil {
		t.Skip("needs root to mount a disk of its own:", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(disk, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	dir := filepath.Join(disk, "guid")
	w, err := logfile.Open(dir, testID("guid"), 0)
	if err != nil {
		t.Fatal(err)
	}
	hog := filepath.Join(disk, "hog")
	if err := os.WriteFile(hog, make([]byte, 2<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	l := w.Lines(app.Stdout, app.SourceApp)
	write := func(n int) (failed int) {
		for range n {
			if l.Add(time.Now(), []byte(strings.Repeat("all work and no play\n", 100))) != nil {
				failed++
			}
		}
		return failed
	}
	if n := write(400); n == 0 {
		t.Fatal("the disk did not get full")
	}
	if err := w.Settle(); err == nil {
		t.Error("Settle found room on a full disk")
	}
	if err := os.Remove(hog); err != nil {
		t.Fatal(err)
	}
	if err := w.Settle(); err != nil {
		t.Error("Settle with room on the disk:", err)
	}
	if n := write(1); n != 0 {
		t.Error("lines were dropped though there is room")
	}
	got := readAll(t, dir, 0)
	inOrder(t, 0, got)
	lost := uint64(0)
	for i, g := range got {
		if g.IsLoss() {
			n := g.Seq - got[i-1].Seq
			if want := fmt.Sprintf("%d lines dropped: the log could not be written: no space left on device", n); g.Text != want {
				t.Errorf("got %q, want %q", g.Text, want)
			}
			lost += n
		}
	}
	if n := uint64(len(got)); lost == 0 || got[n-1].Seq != 40_100 {
		t.Errorf("%d lost, last Seq %d, want 40100", lost, got[n-1].Seq)
	}
	// The last word is said though the disk is full.
	if err := os.WriteFile(hog, make([]byte, 3<<20), 0o600); err == nil {
		t.Fatal("the disk did not get full")
	}
	write(100)
	if err := w.Close(); err != nil {
		t.Error("Close on a full disk:", err)
	}
	got = readAll(t, dir, 0)
	inOrder(t, 0, got)
	if last := got[len(got)-1]; !last.IsLoss() || last.Seq != 50_100 {
		t.Errorf("ends with %d %q, want the loss of lines up to 50100", last.Seq, last.Text)
	}
}

func BenchmarkWriter(b *testing.B) {
	dir := filepath.Join(b.TempDir(), "guid")
	l := open(b, dir, 0).Lines(app.Stdout, app.SourceApp)
	p := []byte(strings.Repeat(strings.Repeat("GET /index.html 200 ", 5)+"\n", 600))
	at := time.Now()
	for b.Loop() {
		if err := l.Add(at, p); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*600)/b.Elapsed().Seconds(), "lines/s")
}
