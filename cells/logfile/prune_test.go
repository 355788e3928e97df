package logfile

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"lattice/app"
)

func TestKeepChoose(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	// log is an ended log of web/index whose last line is hours old.
	log := func(guid string, index, hours, mib int, delivered bool) ended {
		return ended{ID{"web", index, guid}, now.Add(-time.Duration(hours) * time.Hour), int64(mib) << 20, delivered}
	}
	keep := Keep{Age: 24 * time.Hour, PerInstance: 2, Bytes: 100 << 20}
	cases := []struct {
		name string
		logs []ended
		want string
	}{
		{"nothing", nil, "remove [] empty []"},
		{"young and few", []ended{log("a", 0, 1, 10, true), log("b", 0, 2, 10, true)}, "remove [] empty []"},
		{"too many of one instance", []ended{log("a", 0, 3, 1, true), log("b", 0, 1, 1, true), log("c", 0, 2, 1, true), log("d", 1, 4, 1, true)}, "remove [a] empty []"},
		{"events count by themselves", []ended{log("a", 0, 3, 1, true), log("b", 0, 1, 1, true), log("p.1", 0, 2, 1, true)}, "remove [] empty []"},
		{"too old", []ended{log("a", 0, 25, 1, true), log("b", 0, 23, 1, true)}, "remove [a] empty []"},
		{"too old, not delivered", []ended{log("a", 0, 25, 1, false)}, "remove [] empty []"},
		{"too many, not delivered", []ended{log("a", 0, 1, 1, false), log("b", 0, 2, 1, false), log("c", 0, 3, 1, false)}, "remove [] empty []"},
		{"never delivered", []ended{log("a", 0, 24*8, 1, false)}, "remove [a] empty []"},
		{"no room", []ended{log("a", 0, 3, 60, true), log("b", 1, 2, 60, true), log("c", 2, 1, 30, true)}, "remove [a] empty []"},
		{"no room, not delivered", []ended{log("a", 0, 3, 60, false), log("b", 1, 2, 60, false)}, "remove [] empty [a]"},
		{"no room, emptied before", []ended{log("a", 0, 3, 0, false), log("b", 1, 2, 100, false)}, "remove [] empty []"},
	}
	for _, c := range cases {
		remove, empty := keep.choose(c.logs, now)
		if got := fmt.Sprint("remove ", guids(remove), " empty ", guids(empty)); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

func guids(logs []ended) []string {
	s := make([]string, 0, len(logs))
	for _, e := range logs {
		s = append(s, e.GUID)
	}
	return s
}

// A memory is a Sink that keeps all lines; nil refuses everything.
type memory map[string][]app.LogLine

func (m memory) LogCursors(_ context.Context, guids []string) (map[string]uint64, error) {
	if m == nil {
		return nil, app.ErrUnavailable
	}
	has := map[string]uint64{}
	for _, g := range guids {
		if n := len(m[g]); n > 0 {
			has[g] = m[g][n-1].Seq
		}
	}
	return has, nil
}

func (m memory) SendLogs(_ context.Context, lines []app.LogLine) error {
	for _, l := range lines {
		m[l.GUID] = append(m[l.GUID], l)
	}
	return nil
}

// write makes a log with some lines, last written to so long ago, and returns
// its Writer, which is closed unless it shall stay open.
func write(t *testing.T, root, guid string, lines int, age time.Duration, stayOpen bool) {
	t.Helper()
	dir := filepath.Join(root, guid)
	w, err := Open(dir, ID{"web", 0, guid}, 0)
	if err != nil {
		t.Fatal(err)
	}
	for range lines {
		if err := w.Append(time.Now(), app.Stdout, app.SourceApp, strings.Repeat("x", 100)); err != nil {
			t.Fatal(err)
		}
	}
	if stayOpen {
		t.Cleanup(func() { w.Close() })
	} else if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	at := time.Now().Add(-age)
	names, _ := filepath.Glob(filepath.Join(dir, "*"))
	for _, name := range append(names, dir) {
		if err := os.Chtimes(name, at, at); err != nil {
			t.Fatal(err)
		}
	}
}

// pruneOnce delivers what can be delivered, prunes, and delivers again.
func pruneOnce(t *testing.T, s *Shipper) {
	t.Helper()
	if s.Log == nil {
		s.Log = slog.New(slog.DiscardHandler)
	}
	w, err := newWatch(s.Root, s.Log)
	if err != nil {
		t.Fatal(err)
	}
	defer w.fs.Close()
	sh := newShipment(s, w)
	deliver := func() {
		now := time.Now()
		sh.housekeep(now)
		for range 5 { // what is sent is checked a second later
			if _, err := sh.round(t.Context(), now); err != nil {
				return
			}
			now = now.Add(2 * checkEvery)
		}
	}
	deliver()
	sh.prune, sh.survey = time.Time{}, time.Time{} // both are due at once
	deliver()
}

func folders(t *testing.T, root string) []string {
	t.Helper()
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestOldLogsAreRemoved(t *testing.T) {
	root := t.TempDir()
	write(t, root, "live", 3, 48*time.Hour, false)
	write(t, root, "open", 3, 48*time.Hour, true)
	write(t, root, "old", 3, 48*time.Hour, false)
	write(t, root, "old.12345678", 3, 48*time.Hour, false)
	write(t, root, "live.12345678", 3, 48*time.Hour, false)
	write(t, root, "young", 3, time.Hour, false)
	for name, age := range map[string]time.Duration{"junk": time.Hour, "oldjunk": 48 * time.Hour} {
		if err := os.Mkdir(filepath.Join(root, name), 0o700); err != nil {
			t.Fatal(err)
		}
		at := time.Now().Add(-age)
		if err := os.Chtimes(filepath.Join(root, name), at, at); err != nil {
			t.Fatal(err)
		}
	}
	live := map[string]bool{"live": true}
	m := memory{}
	pruneOnce(t, &Shipper{Root: root, Sink: m, Live: func() map[string]bool { return live }})
	want := []string{"junk", "live", "live.12345678", "open", "young"}
	if got := folders(t, root); !slices.Equal(got, want) {
		t.Errorf("left are %v, want %v", got, want)
	}
	if got := slices.Sorted(maps.Keys(m)); len(got) != 6 {
		t.Errorf("delivered before: %v, want all 6", got)
	}
}

func TestNothingIsRemovedWhileNobodyKnowsWhatLives(t *testing.T) {
	root := t.TempDir()
	write(t, root, "old", 3, 48*time.Hour, false)
	pruneOnce(t, &Shipper{Root: root, Sink: memory{}, Live: func() map[string]bool { return nil }})
	if got := folders(t, root); len(got) != 1 {
		t.Errorf("left are %v, want the old one", got)
	}
}

func TestUndeliveredLogsLeaveAWordBehind(t *testing.T) {
	root := t.TempDir()
	write(t, root, "old", 100, 2*time.Hour, false)
	write(t, root, "new", 100, time.Hour, false)
	none := func() map[string]bool { return map[string]bool{} }
	keep := Keep{Age: 24 * time.Hour, PerInstance: 3, Bytes: 20_000}
	for range 2 { // the second time there is nothing more to empty
		pruneOnce(t, &Shipper{Root: root, Sink: memory(nil), Live: none, Keep: keep})
	}
	m := memory{}
	pruneOnce(t, &Shipper{Root: root, Sink: m, Live: none, Keep: keep})
	if len(m["new"]) != 100 {
		t.Errorf("%d lines of the newer log delivered, want 100", len(m["new"]))
	}
	want := "100 lines dropped: the logs of ended instances outgrew what the cell keeps until it can deliver them"
	if got := m["old"]; len(got) != 1 || !got[0].IsLoss() || got[0].Seq != 100 || got[0].Text != want {
		t.Errorf("of the older log, got %+v, want %q", got, want)
	}
}
