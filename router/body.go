package router

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"
)

// A tryBody is a request's body as one try sees it. It leaves the body alone
// until it is read, so that another try can have it, and never closes it.
type tryBody struct {
	from  io.Reader
	state atomic.Int32
}

// States of a tryBody.
const (
	bodyFresh  = iota // nobody has read
	bodyRead          // part of it may be gone
	bodySealed        // nobody has read, nobody can
)

var errSealed = errors.New("the request's body belongs to another try")

func (b *tryBody) Read(p []byte) (int, error) {
	if !b.state.CompareAndSwap(bodyFresh, bodyRead) && b.state.Load() == bodySealed {
		return 0, errSealed
	}
	return b.from.Read(p)
}

// Close is what http.Transport calls when it doesn't want more.
func (b *tryBody) Close() error {
	b.seal()
	return nil
}

// seal ends reading if it has not begun, and reports whether that is so.
func (b *tryBody) seal() bool {
	return b.state.CompareAndSwap(bodyFresh, bodySealed) || b.state.Load() == bodySealed
}

// A bufferPool lends the buffers that bodies are copied through. The zero value
// is ready to use.
type bufferPool struct{ pool sync.Pool }

type buffer [32 << 10]byte

func (p *bufferPool) Get() []byte {
	if b, ok := p.pool.Get().(*buffer); ok {
		return b[:]
	}
	return new(buffer)[:]
}

func (p *bufferPool) Put(b []byte) { p.pool.Put((*buffer)(b)) }
