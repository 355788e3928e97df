package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"lattice/api"
	"lattice/app"
)

// lookAtCell is between two looks whether a cell is still to be emptied.
const lookAtCell = time.Second

// draining waits until a cell is empty and shows meanwhile what is left.
type draining struct {
	st      *streams
	brain   brain
	cell    string
	timeout time.Duration

	bottom bottom
	left   []app.Instance
	waits  []app.Instance    // of the same apps, wherever they run: those for which there is no room
	told   string            // the last line about how many are left
	held   map[string]string // by instance: what was told of what holds it back
}

// run returns when nothing is left on the cell, or why that won't be.
func (d *draining) run(ctx context.Context) error {
	during, stop := context.WithTimeout(ctx, d.timeout)
	apps, ended := make(chan []app.Status), make(chan error, 1)
	var streams sync.WaitGroup
	streams.Go(func() { ended <- d.watch(during, apps) })
	defer streams.Wait()
	defer stop()
	defer d.bottom.clear()
	look, spin := time.NewTicker(lookAtCell), time.NewTicker(lookAgain)
	defer look.Stop()
	defer spin.Stop()
	for {
		select {
		case list := <-apps:
			if d.left, d.waits = onCell(list, d.cell); len(d.left) == 0 {
				return nil
			}
			d.tell()
		case <-look.C:
			if err := d.ordered(during); err != nil {
				return err
			}
		case <-spin.C:
			d.bottom.frame++
			d.bottom.draw(d.summary())
		case err := <-ended:
			return d.gaveUp(ctx, err)
		}
	}
}

// watch hands on all apps at each change.
func (d *draining) watch(ctx context.Context, to chan<- []app.Status) error {
	return keepUp(ctx, func(ctx context.Context) error {
		return d.brain.WatchApps(ctx, func(list []app.Status) error { return send(ctx, to, list) })
	}, func(error) {})
}

// onCell returns the instances that are still on a cell. An app that changes
// has to wait for room elsewhere, too, so it also returns what waits for that.
func onCell(apps []app.Status, cell string) (left, waits []app.Instance) {
	for _, s := range apps {
		isHere := func(in app.Instance) bool { return in.Cell == cell && !in.Stray }
		if !slices.ContainsFunc(s.Instances, isHere) {
			continue
		}
		for _, in := range s.Instances {
			if isHere(in) {
				left = append(left, in)
			}
			if waitsForRoom(in) {
				waits = append(waits, in)
			}
		}
	}
	return left, waits
}

// tell prints what is new about what is left.
func (d *draining) tell() {
	if d.held == nil {
		d.held = map[string]string{}
	}
	for _, in := range d.waits {
		who := fmt.Sprintf("%s/%d", in.App, in.Index)
		if d.held[who] != in.Reason {
			d.held[who] = in.Reason
			d.bottom.line(fmt.Sprintf("%s %s", who, d.st.err.clean(in.Reason)))
		}
	}
	if text := d.summary(); text != d.told {
		d.told = text
		if d.bottom.s.tty {
			d.bottom.draw(text)
		} else {
			d.bottom.line(text)
		}
	}
}

// summary says in one line how many instances are left.
func (d *draining) summary() string {
	if len(d.left) == 0 {
		return d.cell + ": asking what runs there"
	}
	counts := map[string]int{}
	for _, in := range d.left {
		switch {
		case in.Stopping:
			counts["stopping"]++
		case in.Draining:
			counts["draining"]++
		case waitsForRoom(in):
			counts["without room elsewhere"]++
		}
	}
	text := fmt.Sprintf("%s: %s left", d.cell, instancesText(len(d.left)))
	for _, what := range []string{"draining", "stopping", "without room elsewhere"} {
		if counts[what] > 0 {
			text += fmt.Sprintf(", %d %s", counts[what], what)
		}
	}
	return text
}

// ordered returns an error if the cell is not to be emptied any more. That it
// can't be known now is none.
func (d *draining) ordered(ctx context.Context) error {
	cells, err := d.brain.Cells(ctx)
	if err != nil {
		return nil
	}
	i := slices.IndexFunc(cells, func(c api.CellStatus) bool { return c.ID == d.cell })
	if i >= 0 && !cells[i].Draining {
		return fail(exitCommand, fmt.Errorf("%s drains no more: somebody undrained it, with %s left", d.cell, instancesText(len(d.left))))
	}
	return nil
}

// gaveUp returns why it ended before the cell was empty.
func (d *draining) gaveUp(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		d.bottom.clear()
		d.st.note("\n%[2]s goes on draining; '%[1]s cell undrain %[2]s' lets it work again.", d.st.name, d.cell)
		return ctx.Err()
	case !errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("watch %s: %w", d.cell, err)
	}
	const most = 5
	f := &failure{
		code: exitCommand,
		err:  fmt.Errorf("%s is not empty after %v: %s left", d.cell, d.timeout, instancesText(len(d.left))),
		hint: fmt.Sprintf("'%[1]s cell undrain %[2]s' lets it work again", d.st.name, d.cell),
	}
	if len(d.waits) > 0 {
		f.code = exitPlacement
	}
	held := slices.DeleteFunc(d.waits, func(in app.Instance) bool { return in.Cell == d.cell })
	for i, in := range append(slices.Clone(d.left), held...) {
		if i == most {
			f.lines = append(f.lines, "and more")
			break
		}
		text := fmt.Sprintf("%s/%d %s on %s: %s", in.App, in.Index, stateField(in).text, in.Cell, reasonText(in, time.Now()))
		f.lines = append(f.lines, strings.TrimSuffix(text, ": "))
	}
	f.lines = append(f.lines, d.cell+" goes on draining.")
	return f
}

// done tells that the cell is empty, and of what is left for a person to do.
func (d *draining) done(ctx context.Context, out format) error {
	if out != asTable {
		cells, err := d.brain.Cells(ctx)
		if err != nil {
			return fmt.Errorf("look at %s: %w", d.cell, err)
		}
		cells = slices.DeleteFunc(cells, func(c api.CellStatus) bool { return c.ID != d.cell })
		return out.encode(d.st.out, append([]api.CellStatus{}, cells...))
	}
	d.st.did(d.cell, "%s is empty and gets no new instances.", d.cell)
	strays, err := d.brain.Strays(ctx)
	if err == nil && slices.ContainsFunc(strays, func(in app.Instance) bool { return in.Cell == d.cell }) {
		d.st.warn("strays run on %s, which nobody moves: '%s list --strays' shows them", d.cell, d.st.name)
	}
	d.st.note("'%s cell undrain %s' lets it work again.", d.st.name, d.cell)
	return nil
}
