// Package sessionstest has what tests of sessions need: links without a network,
// and a runtime whose containers are this machine.
package sessionstest

import (
	"io"
	"slices"
	"sync"

	"lattice/app"
)

// buffered is how many frames are on their way at most, as in the buffers of a
// network.
const buffered = 16

// Pair returns the two ends of a connection in memory.
func Pair() (a, b app.Link) {
	x, y, over := make(chan frame, buffered), make(chan frame, buffered), &ending{done: make(chan struct{})}
	return &end{x, y, over}, &end{y, x, over}
}

type frame struct {
	ch   app.Channel
	data []byte
}

type ending struct {
	once sync.Once
	done chan struct{}
}

type end struct {
	in, out chan frame
	over    *ending
}

// Receive implements app.Link.
func (e *end) Receive() (app.Channel, []byte, error) {
	for {
		var f frame
		select {
		case f = <-e.in: // first, also when it is over: what was sent arrives
		default:
			select {
			case f = <-e.in:
			case <-e.over.done:
				return 0, nil, io.ErrUnexpectedEOF
			}
		}
		if f.ch != app.ChanControl || len(f.data) > 0 {
			return f.ch, f.data, nil
		}
	}
}

// Send implements app.Link.
func (e *end) Send(ch app.Channel, data []byte) error {
	select {
	case <-e.over.done:
		return io.ErrClosedPipe
	default:
	}
	select {
	case e.out <- frame{ch, slices.Clone(data)}:
		return nil
	case <-e.over.done:
		return io.ErrClosedPipe
	}
}

// Close implements app.Link.
func (e *end) Close() error {
	e.Abort()
	return nil
}

// Abort implements app.Link.
func (e *end) Abort() { e.over.once.Do(func() { close(e.over.done) }) }
