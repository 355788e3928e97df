package router

import (
	"errors"
	"io"
	"os"
	"time"

	"lattice/router/wire"
)

// patience is how long a body may go on after its answer has ended before it
// is cut off.
const patience = time.Second

// A body is where the body of the request at hand is.
type body struct {
	expected bool  // the client holds it back until it gets 100 Continue
	taken    bool  // part of it may have reached an instance
	answered bool  // an instance has begun to answer
	sent     int64 // bytes that went out with the head
	bad      error // why the client's part of it broke off; set by upload's goroutine before done
	done     chan error
}

// upload sends the rest of the body to l while the answer is read: an app may
// answer before it has all. c.stopUpload or c.endUpload waits for it.
func (c *client) upload(l *link) {
	c.body.taken = true
	done := make(chan error, 1)
	c.body.done = done
	go func() {
		err := c.sendBody(l)
		if c.body.bad != nil {
			c.leaveLink()
		}
		done <- err
	}()
}

// leaveLink ends the exchange's waiting for an answer to a body that broke off.
func (c *client) leaveLink() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closeLink()
}

func (c *client) sendBody(l *link) error {
	if c.req.Chunked {
		return c.sendChunks(l)
	}
	left := c.req.Length - c.body.sent
	if n := int(min(left, int64(len(c.buf)-c.used))); n > 0 {
		if _, err := l.conn.Write(c.buf[c.used : c.used+n]); err != nil {
			return err
		}
		c.used += n
		left -= int64(n)
	}
	if left == 0 {
		return nil
	}
	// No copying where the kernel can. Of an error it doesn't tell whose it is;
	// the watch sees when the client is gone.
	n, err := l.conn.ReadFrom(&io.LimitedReader{R: c.conn, N: left})
	if err == nil && n < left {
		err = io.ErrUnexpectedEOF
		c.body.bad = err
	}
	return err
}

// sendChunks passes on a chunked body as it is, up to its end.
func (c *client) sendChunks(l *link) error {
	var chunks wire.Chunks
	rest := c.buf[c.used:]
	n, err := chunks.All(rest)
	if err != nil {
		c.body.bad = err
		return err
	}
	if _, err := l.conn.Write(rest[:n]); err != nil {
		return err
	}
	c.used += n
	if chunks.Done() {
		return nil
	}
	buf := c.r.buffers.Get()
	defer c.r.buffers.Put(buf)
	for {
		got, err := c.conn.Read(buf)
		if got == 0 && err != nil {
			if !errors.Is(err, os.ErrDeadlineExceeded) { // else it is stopUpload
				c.body.bad = io.ErrUnexpectedEOF
			}
			return err
		}
		n, err := chunks.All(buf[:got])
		if err != nil {
			c.body.bad = err
			return err
		}
		if _, err := l.conn.Write(buf[:n]); err != nil {
			return err
		}
		if chunks.Done() {
			c.buf = append(c.buf[:c.used], buf[n:got]...) // the next request
			return nil
		}
	}
}

// stopUpload ends sending and waits for its end. The client's connection can't
// be used for another request then.
func (c *client) stopUpload() {
	if c.body.done == nil {
		return
	}
	c.leaveLink()
	past := time.Unix(1, 0)
	_ = c.conn.SetReadDeadline(past) // an error means that it is closed
	<-c.body.done
	_ = c.conn.SetReadDeadline(time.Time{})
	c.body.done = nil
}

// endUpload waits for the end of sending after the answer has ended, a little
// while if wait is true. It reports whether the whole body was sent.
func (c *client) endUpload(wait bool) bool {
	if c.body.done == nil {
		return !c.body.expected
	}
	if wait {
		late := time.NewTimer(patience)
		defer late.Stop()
		select {
		case err := <-c.body.done:
			c.body.done = nil
			return err == nil
		case <-late.C:
		}
	}
	select {
	case err := <-c.body.done:
		c.body.done = nil
		return err == nil
	default:
	}
	c.stopUpload()
	return false
}
