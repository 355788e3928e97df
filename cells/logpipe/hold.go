package main

import (
	"bytes"
	"errors"
	"sync/atomic"
	"time"
)

// lines is where output goes.
type lines interface {
	Add(now time.Time, b []byte) error
	End(now time.Time) error
}

// spoken notes that something was said.
type spoken struct {
	lines
	spoke *atomic.Bool
}

func (s spoken) Add(now time.Time, b []byte) error {
	s.spoke.Store(true)
	return s.lines.Add(now, b)
}

// A hold keeps back what runc writes to a container's stderr when it can't start
// it: the app never ran, so that is not its output, and the cell says the same
// in better words. Such a line stands alone: as soon as there is anything else,
// it was the app's own and is passed on.
type hold struct {
	lines
	spoke *atomic.Bool // there was output elsewhere

	text []byte
	at   time.Time
	done bool // nothing is held back any more
}

// runcLines are how what runc writes begins.
func runcLines() [2]string { return [...]string{"runc create failed: ", "runc start failed: "} }

func (h *hold) Add(now time.Time, b []byte) error {
	if h.done {
		return h.lines.Add(now, b)
	}
	if h.text == nil {
		h.at = now
	}
	h.text = append(h.text, b...)
	if mayBeRuncs(h.text) {
		return nil
	}
	return h.release()
}

// End drops what is held back if it is runc's and all there ever was.
func (h *hold) End(now time.Time) error {
	var err error
	if !h.done && (!isRuncs(h.text) || h.spoke.Load()) {
		err = h.release()
	}
	return errors.Join(err, h.lines.End(now))
}

func (h *hold) release() error {
	h.done = true
	text := h.text
	h.text = nil
	return h.lines.Add(h.at, text)
}

// isRuncs reports whether text is how a line of runc begins.
func isRuncs(text []byte) bool {
	for _, s := range runcLines() {
		if bytes.HasPrefix(text, []byte(s)) {
			return true
		}
	}
	return false
}

// mayBeRuncs reports whether text is the only line of runc, or its beginning.
func mayBeRuncs(text []byte) bool {
	if i := bytes.IndexByte(text, '\n'); i >= 0 && i < len(text)-1 {
		return false
	}
	for _, s := range runcLines() {
		if n := min(len(s), len(text)); string(text[:n]) == s[:n] {
			return true
		}
	}
	return false
}
