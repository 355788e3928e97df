package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"lattice/app"
)

const (
	fewInstances = 20               // up to so many, each change of each is told
	pullEvery    = 3 * time.Second  // between lines about a pull, elsewhere
	waitEvery    = 10 * time.Second // between lines when nothing happens, elsewhere
	barWidth     = 20
)

// A progress shows how an app comes up: what changes and what the app prints
// scrolls by; on a terminal the line at the bottom says how far it is.
type progress struct {
	bottom
	fresh  bool // the app is new: all of it is news
	latest app.Status
	moves  bool            // it goes to another revision, or did
	told   map[told]string // what was said last
	at     time.Time       // of what was printed last
	summed time.Time       // of the last summary, where there is no line at the bottom
}

// A bottom is the line at the bottom of a terminal, below what scrolls by.
type bottom struct {
	s     *screen
	frame int  // of the spinner
	drawn bool // it is there
}

// told names an instance, as against the one that takes its place.
type told struct {
	index    int
	id       string // of the placement; empty: unclaimed
	stopping bool
}

func newProgress(s *screen) *progress {
	return &progress{bottom: bottom{s: s}, told: map[told]string{}, at: time.Now()}
}

// status tells what changed. What runs from the beginning is no news, unless the
// app is new.
func (p *progress) status(s app.Status) {
	first := p.latest.App.Name == ""
	p.moves = p.moves || changing(s.App)
	p.latest = s
	for _, in := range s.Instances {
		if in.Stray || len(s.Instances) > fewInstances && in.State != app.Crashed {
			continue
		}
		text := changeText(p.s, in, p.moves)
		of := told{in.Index, in.ID, in.Stopping}
		news := p.told[of] != text && !(first && !p.fresh && in.State == app.Running && !in.Stopping)
		p.told[of] = text
		if news {
			p.line(fmt.Sprintf("%s/%d %s", s.App.Name, in.Index, text))
		}
	}
}

// changing reports whether a is on its way to another revision.
func changing(a app.App) bool {
	return a.Rollout != nil && a.Rollout.State == app.RolloutRunning
}

// changeText says what became of in, and on request of which revision it is.
func changeText(s *screen, in app.Instance, revision bool) string {
	state := stateField(in)
	text, place := s.paint(state.as, state.text), " on "+in.Cell
	if revision {
		place += fmt.Sprintf(" (revision %d)", in.Revision)
	}
	switch {
	case in.State == app.Crashed:
		text += fmt.Sprintf(" (%d)%s: %s", in.Crashes, place, s.clean(in.Reason))
	case in.State == app.Unclaimed && in.Reason != "":
		text += ": " + s.clean(in.Reason)
	case waitsForRoom(in), in.Unready && in.Reason != "":
		text += fmt.Sprintf("%s: %s", place, s.clean(in.Reason))
	case in.State == app.Claimed && in.Crashes > 0:
		text += fmt.Sprintf("%s, start %d after a crash: %s", place, in.Crashes+1, s.clean(in.Reason))
	case in.Cell != "":
		text += place
	}
	return text
}

// log shows a line of the app.
func (p *progress) log(l app.LogLine) { p.line(logText(p.s, l)) }

// warn shows what the user should not overlook.
func (p *progress) warn(text string) { p.line(p.s.paint(yellow, "warning:") + " " + text) }

// line prints text above the line at the bottom.
func (p *progress) line(text string) {
	p.bottom.line(text)
	p.at = time.Now()
	p.draw()
}

// tick shows the passing of time: on a terminal in the line at the bottom,
// elsewhere by a line now and then.
func (p *progress) tick(now time.Time) {
	if p.latest.App.Name == "" {
		return
	}
	if p.s.tty {
		p.frame++
		p.draw()
		return
	}
	_, pulling := pulled(p.latest)
	if pulling && now.Sub(p.summed) >= pullEvery || now.Sub(p.at) >= waitEvery {
		p.at, p.summed = now, now
		io.WriteString(p.s, summary(p.latest)+"\n")
	}
}

// draw draws the line at the bottom of a terminal.
func (p *progress) draw() {
	if p.latest.App.Name == "" {
		return
	}
	text := summary(p.latest)
	if pull, ok := pulled(p.latest); ok && pull.Total > 0 {
		text += " " + bar(pull.Done, pull.Total, barWidth)
	}
	p.bottom.draw(text)
}

// line prints text above the line at the bottom, which is gone then.
func (b *bottom) line(text string) {
	b.clear()
	io.WriteString(b.s, text+"\n")
}

// draw draws the line at the bottom; what is not a terminal has none.
func (b *bottom) draw(text string) {
	if !b.s.tty {
		return
	}
	spinner := []rune("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")
	text = string(spinner[b.frame%len(spinner)]) + " " + text
	width, _ := b.s.size()
	io.WriteString(b.s, "\r"+b.s.paint(cyan, cut(text, width-1))+"\x1b[K")
	b.drawn = true
}

// clear takes the line at the bottom away.
func (b *bottom) clear() {
	if b.drawn {
		io.WriteString(b.s, "\r\x1b[K")
		b.drawn = false
	}
}

// summary says in one line how far an app is.
func summary(s app.Status) string {
	counts := map[string]int{}
	for _, in := range s.Instances {
		switch state := stateField(in).text; {
		case in.Stray:
		case in.Draining && !in.Stopping:
			counts["draining"]++
		case !wanted(in, s.App):
			counts["stopping"]++
		case in.State != app.Running:
			counts[strings.ToLower(state)]++
		}
	}
	parts := []string{fmt.Sprintf("%s: %d of %d running", s.App.Name, running(s), s.App.Wanted())}
	if r := s.App.Rollout; changing(s.App) {
		parts = append(parts, fmt.Sprintf("%d of %d on revision %d", runningOn(s, r.To), s.App.Wanted(), r.To))
	}
	for _, state := range []string{"unclaimed", "claimed", "crashed", "draining", "stopping"} {
		if n := counts[state]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, state))
		}
	}
	if pull, ok := pulled(s); ok {
		parts = append(parts, pullText(pull))
	}
	return strings.Join(parts, ", ")
}

// pulled returns how far the pulls of all cells are together; instances of one
// cell share one pull.
func pulled(s app.Status) (app.Pull, bool) {
	byCell := map[string]app.Pull{}
	for _, in := range s.Instances {
		if in.Pull == nil {
			continue
		}
		p := byCell[in.Cell]
		byCell[in.Cell] = app.Pull{Done: max(p.Done, in.Pull.Done), Total: max(p.Total, in.Pull.Total)}
	}
	var all app.Pull
	for _, p := range byCell {
		all.Done += p.Done
		all.Total += p.Total
	}
	return all, len(byCell) > 0
}
