// Package story tells why an app, a task or a cell is as it is: what was wanted,
// what happened, in order, what holds it back now, and what to type next. It is
// made of values alone, asks nobody, and knows no screen.
package story

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"lattice/app"
)

// A Story is what there is to tell.
type Story struct {
	About   string   `json:"about"`   // "app web", "task import", "cell cell-1"
	Well    bool     `json:"well"`    // all is as it shall be
	Verdict string   `json:"verdict"` // in one sentence
	Steps   []Step   `json:"steps"`   // what happened, oldest first
	Now     []string `json:"now"`     // how things stand
	Next    []Advice `json:"next"`    // what can be done; empty: nothing has to
}

// A Step is one thing that happened.
type Step struct {
	At    time.Time `json:"at"`
	What  string    `json:"what"`
	Tone  Tone      `json:"tone,omitempty"`
	Lines []string  `json:"lines,omitempty"` // that the app printed last before it
}

// Tone is whether a step is good news.
type Tone string

// The tones; "" is neither.
const (
	Good Tone = "good"
	Bad  Tone = "bad"
)

// An Advice is a command and when it helps.
type Advice struct {
	Type string `json:"type"` // the command, or what to do where no command helps
	Why  string `json:"why"`
}

// Facts is what a story is made of. What is not known may be missing: the story
// is shorter then.
type Facts struct {
	Program string // as the user calls it
	Now     time.Time
	Events  []app.Event   // oldest first, also of others
	Lines   []app.LogLine // of the app or task, oldest first
	Cells   []app.Cell
}

const (
	maxSteps  = 30 // of a story
	firstOnes = 8  // of them that stay when there are more
	lastLines = 5  // before a crash
	slack     = 2 * time.Second
)

// shorten leaves out the middle of a long story.
func shorten(steps []Step, program, about string) []Step {
	if len(steps) <= maxSteps {
		return steps
	}
	left := len(steps) - maxSteps
	gap := Step{At: steps[firstOnes].At, What: fmt.Sprintf("… and %d more things: '%s events %s -n -1' has them all", left, program, about)}
	return slices.Concat(steps[:firstOnes], []Step{gap}, steps[firstOnes+left:])
}

// by names who did something.
func by(actor string) string {
	if actor == "" {
		return ""
	}
	return " (by " + actor + ")"
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// age says how long something has been so.
func age(d time.Duration) string {
	const day = 24 * time.Hour
	if d >= day {
		return fmt.Sprintf("%dd%dh", d/day, d%day/time.Hour)
	}
	return max(0, d).Truncate(time.Second).String()
}

// until says how long it is to a moment, in whole seconds.
func until(at, now time.Time) string { return max(0, at.Sub(now)).Round(time.Second).String() }

// cell returns the cell with an ID.
func (f Facts) cell(id string) (app.Cell, bool) {
	i := slices.IndexFunc(f.Cells, func(c app.Cell) bool { return c.ID == id })
	if i < 0 {
		return app.Cell{}, false
	}
	return f.Cells[i], true
}

// say returns a command line of the program.
func (f Facts) say(format string, args ...any) string {
	return f.Program + " " + fmt.Sprintf(format, args...)
}

// printed returns the last lines that an app or task itself printed in a
// container, or when that is unknown up to a moment.
func (f Facts) printed(index int, guid string, at time.Time) []string {
	var texts []string
	for _, l := range f.Lines {
		switch {
		case l.Stream == app.Platform, l.Index != index:
		case guid != "" && l.GUID != guid, guid == "" && l.At.After(at.Add(slack)):
		default:
			texts = append(texts, strings.TrimRight(l.Text, " \t\r"))
		}
	}
	return texts[max(0, len(texts)-lastLines):]
}
