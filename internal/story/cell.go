package story

import (
	"fmt"
	"strings"
	"time"

	"lattice/app"
)

// OfCell tells of a cell. apps are all there are.
func OfCell(f Facts, c app.Cell, apps []app.Status) Story {
	var here []app.Instance
	for _, st := range apps {
		for _, in := range st.Instances {
			if in.Cell == c.ID {
				here = append(here, in)
			}
		}
	}
	s := Story{About: "cell " + c.ID, Steps: shorten(f.cellSteps(c.ID), f.Program, "--cell "+c.ID), Now: f.cellNow(c, here)}
	s.Well, s.Verdict, s.Next = f.judgeCell(c, here)
	return s
}

// cellSteps tells what happened to the cell, and of what happened on it only how
// much.
func (f Facts) cellSteps(id string) []Step {
	steps := []Step{}
	for _, e := range f.Events {
		if e.Cell == id && isNoun(e.Kind, "cell") {
			steps = append(steps, Step{At: e.At, Tone: tone(e.Kind), What: verb(e.Kind) + ": " + e.Message + by(e.Actor)})
		}
	}
	return steps
}

func isNoun(kind, noun string) bool { return strings.HasPrefix(kind, noun+".") }

// isCommand reports whether a line runs the command of that name.
func isCommand(line, name string) bool {
	words := strings.Fields(line)
	return len(words) > 1 && words[1] == name
}

func (f Facts) cellNow(c app.Cell, here []app.Instance) []string {
	lines := []string{}
	if c.State != "" {
		lines = append(lines, fmt.Sprintf("it is %s at %s, zone %s, lattice %s", c.State, orNone(c.Address), orNone(c.Zone), orNone(c.Version)), fmt.Sprintf("%d of %d MiB memory, %d of %d MiB disk and %d of %d containers are taken",
			c.Used.MemoryMB, c.Capacity.MemoryMB, c.Used.DiskMB, c.Capacity.DiskMB, c.Used.Containers, c.Capacity.Containers))
	}
	ill := 0
	for _, in := range here {
		if trouble(in) >= 2 {
			ill++
		}
	}
	lines = append(lines, fmt.Sprintf("%s on it, %d of them not well", plural(len(here), "instance is", "instances are"), ill))
	hour, crashes := f.Now.Add(-time.Hour), 0
	for _, e := range f.Events {
		if e.Cell == c.ID && e.Kind == app.InstanceCrashed && e.At.After(hour) {
			crashes++
		}
	}
	if crashes > 0 {
		lines = append(lines, fmt.Sprintf("%s told of in the last hour", plural(crashes, "crash is", "crashes are")))
	}
	return lines
}

func orNone(text string) string {
	if text == "" {
		return "not known"
	}
	return text
}

func (f Facts) judgeCell(c app.Cell, here []app.Instance) (well bool, verdict string, next []Advice) {
	for _, e := range f.Events {
		if e.Kind == app.CellRevoked && e.Cell == c.ID && c.State != app.CellAlive {
			return false, c.ID + " was put out of the cluster" + by(e.Actor), []Advice{{"on its machine: lattice down, then lattice cell --join ADDRESS --token-file FILE", "lets it join again, with a new token"}}
		}
	}
	look := []Advice{
		{"on its machine: lattice doctor --host", "checks it"}, {"on its machine: lattice cell --detach", "starts its process again, if that has ended"},
	}
	switch {
	case c.State == app.CellDead:
		return false, c.ID + " is gone, and what ran on it runs elsewhere or waits for room", look
	case c.State == app.CellSuspect:
		return false, c.ID + " does not answer: it keeps its instances for now and gets no more", look
	case c.State != app.CellAlive:
		return false, c.ID + " is not there any more", look
	case c.Draining && len(here) == 0:
		return true, c.ID + " is drained: it is empty and gets nothing", []Advice{{f.say("cell undrain %s", c.ID), "lets it have instances again"}}
	case c.Draining:
		verdict = fmt.Sprintf("%s drains: %s left", c.ID, plural(len(here), "instance is", "instances are"))
		for _, in := range here {
			if in.Reason != "" && in.State == app.Running {
				return false, fmt.Sprintf("%s; %s/%d %s", verdict, in.App, in.Index, in.Reason), []Advice{
					{f.say("explain %s/%d", in.App, in.Index), "tells more"}, {f.say("cell undrain %s", c.ID), "ends the drain"}}
			}
		}
		return true, verdict, []Advice{{f.say("cell undrain %s", c.ID), "ends the drain"}}
	}
	for _, in := range here {
		if trouble(in) >= 2 {
			return true, fmt.Sprintf("%s is well, but %s/%d on it is not", c.ID, in.App, in.Index), []Advice{{f.say("explain %s/%d", in.App, in.Index), "tells why"}}
		}
	}
	return true, c.ID + " is well", nil
}
