package tui

import (
	"fmt"
	"strings"

	tea "github.com/charmbracelet/bubbletea"

	"lattice/api"
	"lattice/app"
)

// A base is what all views have: what there is, the size of the terminal, the
// filter, how far the page is scrolled.
type base struct {
	styles
	width, height int

	apps              []app.Status
	cells             []api.CellStatus
	hasApps, hasCells bool
	broken, failed    error

	typing bool // keys go into the filter
	filter string
	top    int // lines that are scrolled away
}

func (b *base) fatal() error { return b.failed }
func (b *base) ready() bool  { return b.hasApps && b.hasCells }
func (b *base) world() world { return newWorld(b.apps, b.cells, b.filter) }

// update takes in what all views care for.
func (b *base) update(msg tea.Msg) tea.Cmd {
	switch m := msg.(type) {
	case tea.WindowSizeMsg:
		b.width, b.height = m.Width, m.Height
	case appsMsg:
		b.apps, b.hasApps, b.broken = m, true, nil
	case cellsMsg:
		b.cells, b.hasCells, b.broken = m, true, nil
	case brokenMsg:
		b.broken = m.err
	case fatalMsg:
		b.failed = m.err
		return tea.Quit
	case tea.KeyMsg:
		if m.String() == "ctrl+c" {
			return tea.Quit
		}
		if b.typing {
			b.edit(m)
			return nil
		}
		for _, k := range b.keys(m) {
			if cmd := b.key(k); cmd != nil {
				return cmd
			}
		}
	}
	return nil
}

// keys returns the keys of a message, if it has any and they are not for the
// filter. Keys that are pressed quickly come together.
func (b *base) keys(msg tea.Msg) []string {
	m, ok := msg.(tea.KeyMsg)
	switch {
	case !ok || b.typing:
		return nil
	case m.Type != tea.KeyRunes:
		return []string{m.String()}
	}
	return strings.Split(string(m.Runes), "")
}

// edit takes a key for the filter.
func (b *base) edit(k tea.KeyMsg) {
	switch k.Type {
	case tea.KeyEnter:
		b.typing = false
	case tea.KeyEsc:
		b.typing, b.filter = false, ""
	case tea.KeyBackspace:
		if n := len(b.filter); n > 0 {
			b.filter = b.filter[:n-1]
		}
	case tea.KeyRunes:
		for _, r := range k.Runes {
			if r > ' ' && r < 0x7f { // as in the name of an app
				b.filter += string(r)
			}
		}
	}
	b.top = 0
}

func (b *base) key(k string) tea.Cmd {
	switch k {
	case "q":
		return tea.Quit
	case "/":
		b.typing = true
	case "esc":
		b.filter = ""
	case "down", "j":
		b.top++
	case "up", "k":
		b.top = max(0, b.top-1)
	case "pgdown", " ":
		b.top += max(1, b.height-6)
	case "pgup":
		b.top = max(0, b.top-b.height+6)
	case "home", "g":
		b.top = 0
	}
	return nil
}

// hello stands until the brain has told what there is.
func (b *base) hello() string {
	if b.broken != nil {
		return b.warn.Render("no connection: ") + b.broken.Error() + "\nq quit"
	}
	return b.faint.Render("asking the brain…")
}

// title says how much of everything there is.
func (b *base) title(name string, w world) string {
	running, wanted := 0, 0
	for _, s := range w.apps {
		wanted += s.App.Wanted()
		for _, in := range s.Instances {
			if in.State == app.Running && !in.Stopping && !in.Draining {
				running++
			}
		}
	}
	text := fmt.Sprintf("%s, %s, %d of %d instances running", count(len(w.cells), "cell"), count(len(w.apps), "app"), running, wanted)
	line := b.bold.Render(name) + "  " + text
	if b.broken != nil {
		line = b.bold.Render(name) + "  " + b.warn.Render(cut("no connection, this is how it was: "+b.broken.Error(), b.width-len(name)-2))
	}
	return line
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// page puts title, as much of body as fits, foot and the line of keys together.
func (b *base) page(title string, body, foot []string, keys string) string {
	above := strings.Count(title, "\n") + 1
	room := max(1, b.height-len(foot)-above-1)
	b.top = min(b.top, max(0, len(body)-room))
	shown := body[b.top:min(len(body), b.top+room)]
	lines := append([]string{title}, shown...)
	for len(lines) < room+1 {
		lines = append(lines, "")
	}
	lines = append(lines, foot...)
	help := "q quit  / filter  " + keys
	if len(body) > room {
		help += fmt.Sprintf("  ↑↓ scroll (%d–%d of %d lines)", b.top+1, b.top+len(shown), len(body))
	}
	switch {
	case b.typing:
		help = "filter: " + b.filter + "▏  enter keeps it, esc drops it"
	case b.filter != "":
		help = "only apps with “" + b.filter + "”, esc shows all  " + help
	}
	return strings.Join(append(lines, b.faint.Render(cut(help, b.width))), "\n")
}
