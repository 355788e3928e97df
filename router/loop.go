package router

import (
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	loopEvents = 128       // taken at once
	pipeSize   = 256 << 10 // how much is moved at once without copying, in bytes
)

// A loop serves many clients on a thread of its own, without a goroutine for
// each: their common requests over HTTP/1.1 without TLS, which are most. A thread
// that waits for all its sockets at once costs less than a goroutine that is put to
// sleep and woken twice a request, and it serves in the order of arrival, so that
// none waits long. What is not common goes on in a goroutine of its own
// (handover.go), where all can be done.
//
// But for post, methods run on the loop's thread.
type loop struct {
	s     *server
	r     *Router
	epoll int
	wake  int
	pipe  [2]int       // through which bodies are moved; empty between two events
	load  atomic.Int64 // guests

	socks  []*sock // by descriptor
	guests map[*guest]struct{}
	idle   map[*upstream][]*sock // the one used last is at the end
	serial uint32
	later  []*sock       // instances of which more can be read
	now    time.Duration // of the event at hand; Router.born
	over   bool

	w      work // for what a request needs for a moment
	spares [][]byte

	mu    sync.Mutex // guards what follows
	inbox []func()
	shut  bool // nobody looks into inbox any more
}

// A sock is a descriptor of a loop: a guest's, or a connection to an instance.
type sock struct {
	fd       int
	serial   uint32 // tells it from those that had fd before
	guest    *guest // nil: a connection to an instance that no request uses
	up       *upstream
	reused   bool
	readable bool // as far as is known
	closed   bool // the other side has closed, at least its half
	idle     time.Duration
	early    []byte // an answer's head that is not complete yet
}

func newLoop(s *server) (*loop, error) {
	l := &loop{s: s, r: s.r, guests: map[*guest]struct{}{}, idle: map[*upstream][]*sock{}}
	l.w = work{out: make([]byte, 0, smallBuffer), in: make([]byte, answerBuffer)}
	if err := l.openFiles(); err != nil {
		l.closeFiles()
		return nil, err
	}
	return l, nil
}

func (l *loop) openFiles() (err error) {
	if l.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return os.NewSyscallError("epoll_create1", err)
	}
	if l.wake, err = unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC); err != nil {
		return os.NewSyscallError("eventfd", err)
	}
	if err = unix.Pipe2(l.pipe[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		return os.NewSyscallError("pipe2", err)
	}
	_, _ = unix.FcntlInt(uintptr(l.pipe[1]), unix.F_SETPIPE_SZ, pipeSize) // a small one does as well
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, l.wake, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(l.wake)}))
}

func (l *loop) closeFiles() {
	for _, fd := range []int{l.wake, l.epoll, l.pipe[0], l.pipe[1]} {
		if fd > 0 {
			unix.Close(fd)
		}
	}
}

// post has fn run on the loop's thread. It reports false when the loop has ended.
func (l *loop) post(fn func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.shut {
		return false
	}
	l.inbox = append(l.inbox, fn)
	if len(l.inbox) == 1 {
		_, _ = unix.Write(l.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0}) // it can't be full
	}
	return true
}

// run serves until end was posted.
func (l *loop) run() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer l.close()
	events := make([]unix.EpollEvent, loopEvents)
	for !l.over {
		wait := -1
		if len(l.later) > 0 {
			wait = 0
		}
		n, _ := unix.EpollWait(l.epoll, events, wait) // an error means a signal
		for i := range max(n, 0) {
			l.take(&events[i])
		}
		l.resume()
	}
}

// check ends what takes too long, of guests and of connections that none uses.
func (l *loop) check() {
	l.now = l.r.now()
	for g := range l.guests {
		l.checkGuest(g)
	}
	l.expire()
}

func (l *loop) take(e *unix.EpollEvent) {
	if int(e.Fd) == l.wake {
		l.open()
		return
	}
	if int(e.Fd) >= len(l.socks) {
		return
	}
	k := l.socks[e.Fd]
	if k == nil || k.serial != uint32(e.Pad) {
		return // closed by what was done for another event
	}
	if e.Events&(unix.EPOLLIN|unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		k.readable = true
		k.closed = k.closed || e.Events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0
	}
	l.goOn(k)
}

// goOn does what can be done now that something has happened to k.
func (l *loop) goOn(k *sock) {
	g := k.guest
	defer l.caught(g)
	l.now = l.r.now()
	switch {
	case g == nil:
		if k.readable { // nothing was asked, so that it is the end
			l.forget(k)
		}
	case k == g.near:
		l.fromClient(g)
	default:
		l.fromInstance(g)
	}
}

// resume goes on with long answers.
func (l *loop) resume() {
	all := l.later
	l.later = nil
	for _, k := range all {
		if l.socks[k.fd] == k {
			l.goOn(k)
		}
	}
}

// caught ends a guest whose request failed for a fault of ours: one request must
// not end all others.
func (l *loop) caught(g *guest) {
	p := recover()
	if p == nil {
		return
	}
	l.r.log.Error("request failed for a fault of the router", "reason", p, "stack", string(debug.Stack()))
	if _, ours := l.guests[g]; !ours {
		return
	}
	if g.far != nil {
		l.drop(g.far)
	}
	g.x.release()
	l.bye(g)
}

// open does what was posted.
func (l *loop) open() {
	var count [8]byte
	_, _ = unix.Read(l.wake, count[:])
	l.mu.Lock()
	all := l.inbox
	l.inbox = nil
	l.mu.Unlock()
	for _, fn := range all {
		fn()
	}
}

// add makes a descriptor one of the loop's.
func (l *loop) add(fd int, g *guest) (*sock, error) {
	l.serial++
	k := &sock{fd: fd, serial: l.serial, guest: g}
	e := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET, Fd: int32(fd), Pad: int32(k.serial)}
	if err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, fd, &e); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("epoll_ctl", err)
	}
	for fd >= len(l.socks) {
		l.socks = append(l.socks, make([]*sock, max(64, len(l.socks)))...)
	}
	l.socks[fd] = k
	return k, nil
}

// drop closes a descriptor.
func (l *loop) drop(k *sock) {
	if l.socks[k.fd] == k {
		l.socks[k.fd] = nil
		unix.Close(k.fd) // which takes it out of epoll
	}
}

// release takes a descriptor out of the loop without closing it.
func (l *loop) release(k *sock) (fd int) {
	l.socks[k.fd] = nil
	_ = unix.EpollCtl(l.epoll, unix.EPOLL_CTL_DEL, k.fd, nil) // it is there
	return k.fd
}

// enter takes over a client's connection.
func (l *loop) enter(conn *net.TCPConn, who net.Addr) {
	fd, err := taken(conn)
	if err != nil {
		conn.Close()
		l.left()
		l.r.log.Warn("connection not accepted", "err", err)
		return
	}
	g := &guest{client: client{r: l.r, s: l.s}}
	g.meet(who)
	g.phase, g.since = waiting, l.r.now()
	if g.near, err = l.add(fd, g); err != nil {
		l.left()
		l.r.log.Warn("connection not accepted", "err", err)
		return
	}
	l.guests[g] = struct{}{}
}

// left notes that a guest is a guest no more.
func (l *loop) left() {
	l.load.Add(-1)
	l.r.count.clients.Add(-1)
	l.s.guestLeft()
}

// buffer lends a buffer for a request; restore takes it back.
func (l *loop) buffer() []byte {
	if n := len(l.spares); n > 0 {
		b := l.spares[n-1]
		l.spares = l.spares[:n-1]
		return b
	}
	return make([]byte, 0, smallBuffer)
}

func (l *loop) restore(b []byte) {
	if len(l.spares) < loopEvents && cap(b) == smallBuffer {
		l.spares = append(l.spares, b[:0])
	}
}

// close ends what is left.
func (l *loop) close() {
	l.mu.Lock()
	l.shut = true
	late := l.inbox
	l.inbox = nil
	l.mu.Unlock()
	for _, fn := range late {
		fn()
	}
	for g := range l.guests {
		l.gone(g)
	}
	for up := range l.idle {
		l.closeIdle(up)
	}
	l.closeFiles()
}
