package tui

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	tea "github.com/charmbracelet/bubbletea"

	"lattice/api"
	"lattice/app"
)

func status(name string, instances ...app.Instance) app.Status {
	s := app.Status{App: app.App{Name: name, Instances: len(instances)}, Instances: instances}
	for i := range s.Instances {
		s.Instances[i].App, s.Instances[i].Index = name, i
	}
	return s
}

func on(cell string, state app.State) app.Instance {
	return app.Instance{Cell: cell, State: state, MemoryBytes: 64 << 20, CPUPercent: 10}
}

func cellStatus(id string) api.CellStatus {
	c := api.CellStatus{Cell: app.Cell{ID: id, Zone: "z1", State: app.CellAlive}}
	c.Capacity.MemoryMB, c.Used.MemoryMB = 1024, 512
	return c
}

// feed gives a view what the brain would, and returns what it shows without
// colours.
func feed(m tea.Model, width, height int, msgs ...tea.Msg) string {
	m.Update(tea.WindowSizeMsg{Width: width, Height: height})
	for _, msg := range msgs {
		m.Update(msg)
	}
	return m.View()
}

func sample() []tea.Msg {
	waits := app.Instance{State: app.Unclaimed, Reason: "no cell has 2 GiB free"}
	return []tea.Msg{
		appsMsg{
			status("api", on("cell-2", app.Claimed), on("cell-10", app.Crashed)),
			status("web", on("cell-2", app.Running), on("cell-2", app.Running), on("gone", app.Running), waits),
		},
		cellsMsg{cellStatus("cell-10"), cellStatus("cell-2")},
	}
}

func keys(text string) (all []tea.Msg) {
	for _, r := range text {
		all = append(all, tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune{r}})
	}
	return all
}

func newCluster() *clusterView {
	return &clusterView{base: base{styles: newStyles(&bytes.Buffer{})}, box: defaultBox}
}

func TestClusterShowsEachCellAndInstance(t *testing.T) {
	got := feed(newCluster(), 80, 30, sample()...)
	for _, want := range []string{
		"3 cells, 2 apps, 3 of 6 instances running", "cell-2", "○●●", "✖", "MISSING", "mem ", "192M/1G",
		"1 without a cell", "web/3 no cell has 2 GiB free", "● api 0/2", "● web 3/4",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if strings.Index(got, "cell-2") > strings.Index(got, "cell-10") {
		t.Errorf("cell-2 must come before cell-10:\n%s", got)
	}
}

// TestViewsFitTheTerminal draws both views at many sizes: no line may be wider
// than the terminal, nor may there be more than it has.
func TestViewsFitTheTerminal(t *testing.T) {
	var apps appsMsg
	var cells cellsMsg
	for c := range 30 {
		cells = append(cells, cellStatus(fmt.Sprintf("cell-with-a-long-name-%d", c)))
	}
	for a := range 40 {
		s := status(fmt.Sprintf("app-%d", a))
		for i := range 50 {
			in := on(cells[(a+i)%30].ID, app.Running)
			in.App, in.Index = s.App.Name, i
			s.Instances = append(s.Instances, in)
		}
		apps = append(apps, s)
	}
	for _, width := range []int{20, 33, 80, 121, 200} {
		for _, height := range []int{16, 24, 60} {
			for _, m := range []tea.Model{newCluster(), &topView{base: base{styles: newStyles(&bytes.Buffer{})}, order: ByCPU}} {
				got := feed(m, width, height, apps, cells)
				lines := strings.Split(got, "\n")
				if _, top := m.(*topView); len(lines) > height && !(top && height < 24) {
					t.Errorf("%T at %dx%d has %d lines", m, width, height, len(lines))
				}
				for _, l := range lines {
					if n := len([]rune(l)); n > width && width >= 80 {
						t.Errorf("%T at %dx%d: a line of %d: %s", m, width, height, n, l)
						break
					}
				}
			}
		}
	}
}

func TestFilterAndScroll(t *testing.T) {
	v := newCluster()
	got := feed(v, 80, 30, append(sample(), keys("/we")...)...)
	if !strings.Contains(got, "filter: we") || strings.Contains(got, "● api") || !strings.Contains(got, "● web 3/4") {
		t.Errorf("while typing:\n%s", got)
	}
	got = feed(v, 80, 30, tea.KeyMsg{Type: tea.KeyEnter})
	if !strings.Contains(got, "only apps with “we”") {
		t.Errorf("after enter:\n%s", got)
	}
	got = feed(v, 80, 30, tea.KeyMsg{Type: tea.KeyEsc})
	if !strings.Contains(got, "● api") {
		t.Errorf("after esc:\n%s", got)
	}
	small := feed(v, 80, 12, keys("jj")...)
	if !strings.Contains(small, "scroll (3–") {
		t.Errorf("after scrolling:\n%s", small)
	}
}

func TestZoomChangesTheBoxes(t *testing.T) {
	v := newCluster()
	perLine := func(text string) int { return strings.Count(strings.Split(text, "\n")[2], "╭") }
	if n := perLine(feed(v, 120, 30, sample()...)); n != 3 {
		t.Errorf("%d boxes beside each other, want 3", n)
	}
	together := tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune("++++++++")} // as they come when pressed quickly
	if n := perLine(feed(v, 120, 30, together)); n != 1 {
		t.Errorf("zoomed in: %d boxes beside each other, want 1", n)
	}
}

func TestABrokenConnectionIsTold(t *testing.T) {
	v := newCluster()
	got := feed(v, 80, 30, append(sample(), brokenMsg{errors.New("connection refused")})...)
	if !strings.Contains(got, "no connection, this is how it was: connection refused") || !strings.Contains(got, "cell-2") {
		t.Errorf("after the break:\n%s", got)
	}
	if got = feed(v, 80, 30, sample()...); strings.Contains(got, "no connection") {
		t.Errorf("after it is mended:\n%s", got)
	}
	_, cmd := v.Update(fatalMsg{errors.New("the token is not known here")})
	if cmd == nil || v.fatal() == nil {
		t.Error("a fatal error must end the view")
	}
}

func TestTopSorts(t *testing.T) {
	busy := on("cell-2", app.Running)
	busy.CPUPercent, busy.MemoryBytes = 180, 1<<20
	v := &topView{base: base{styles: newStyles(&bytes.Buffer{})}, order: ByCPU}
	got := feed(v, 100, 30, appsMsg{status("idle", on("cell-2", app.Running)), status("worker", busy)}, cellsMsg{cellStatus("cell-2")})
	if strings.Index(got, "worker/0") > strings.Index(got, "idle/0") {
		t.Errorf("by cpu:\n%s", got)
	}
	got = feed(v, 100, 30, keys("m")...)
	if strings.Index(got, "worker/0") < strings.Index(got, "idle/0") {
		t.Errorf("by memory:\n%s", got)
	}
}

func TestNaturalOrder(t *testing.T) {
	for _, pair := range [][2]string{{"cell-2", "cell-10"}, {"a", "b"}, {"cell-02", "cell-3"}, {"a9", "b1"}} {
		if natural(pair[0], pair[1]) >= 0 || natural(pair[1], pair[0]) <= 0 {
			t.Errorf("%q must come before %q", pair[0], pair[1])
		}
	}
}

func TestSize(t *testing.T) {
	for bytes, want := range map[int64]string{0: "0B", 900: "900B", 1 << 20: "1M", 3 << 19: "1.5M", 300 << 20: "300M", 1023 << 20: "1023M", 1 << 30: "1G"} {
		if got := size(bytes); got != want {
			t.Errorf("size(%d) = %s, want %s", bytes, got, want)
		}
	}
}
