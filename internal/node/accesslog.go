package node

import (
	"context"
	"crypto/rand"
	"fmt"
	"strconv"
	"sync"
	"time"

	"lattice/app"
	"lattice/router"
)

const (
	// An app's own lines must not be pushed out of the brain's memory by those
	// about its requests: what comes faster is counted instead.
	accessRate  = 100  // lines per second of one app
	accessBurst = 1000 // lines that an app may be ahead of that

	accessEvery = 200 * time.Millisecond // how long a line may wait for others
	accessIdle  = 10 * time.Minute       // after which an app without requests is forgotten
)

// An accessLog puts a line for each request into the log of its app.
type accessLog struct {
	hub  interface{ Append([]app.LogLine) }
	form accessFormat
	boot string        // part of the GUIDs
	news chan struct{} // has one when lines wait

	mu      sync.Mutex // guards what follows
	apps    map[string]*accessed
	waiting []app.LogLine
	made    int // GUIDs
}

// accessed is one app's part of the access log.
type accessed struct {
	guid    string
	seq     uint64
	skipped uint64
	room    float64 // lines that may be written now
	at      time.Time
}

func newAccessLog(hub interface{ Append([]app.LogLine) }, form accessFormat) *accessLog {
	return &accessLog{hub: hub, form: form, boot: rand.Text()[:8], news: make(chan struct{}, 1), apps: map[string]*accessed{}}
}

// add is router.Options.OnAccess. It never blocks for long.
func (l *accessLog) add(a *router.Access) {
	done := a.At.Add(a.Took)
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.apps[a.App]
	if s == nil {
		l.made++
		s = &accessed{guid: fmt.Sprintf("rtr.%s.%d", l.boot, l.made), room: accessBurst, at: done}
		l.apps[a.App] = s
	}
	if gone := done.Sub(s.at); gone > 0 {
		s.room = min(accessBurst, s.room+gone.Seconds()*accessRate)
		s.at = done
	}
	defer l.tell()
	if s.room < 1 {
		s.skipped++
		return
	}
	s.room--
	l.admit(a.App, s, done)
	s.seq++
	l.waiting = append(l.waiting, app.LogLine{
		App: a.App, Index: max(0, a.Index), GUID: s.guid, Seq: s.seq, At: done,
		Stream: app.Platform, Source: app.SourceRouter, Text: string(l.form(nil, a)),
	})
}

// tell wakes Run.
func (l *accessLog) tell() {
	select {
	case l.news <- struct{}{}:
	default:
	}
}

// admit adds a line that stands for those that were skipped, if there are any.
// mu must be held.
func (l *accessLog) admit(name string, s *accessed, at time.Time) {
	if s.skipped == 0 {
		return
	}
	s.seq += s.skipped
	l.waiting = append(l.waiting, app.LogLine{
		App: name, GUID: s.guid, Seq: s.seq, At: at, Stream: app.Platform, Source: app.SourceLog,
		Text: fmt.Sprintf("%d requests not logged: there were more than %d a second", s.skipped, accessRate),
	})
	s.skipped = 0
}

// Run hands lines on until ctx is done.
func (l *accessLog) Run(ctx context.Context) error {
	wait := time.NewTimer(0)
	defer wait.Stop()
	for {
		select {
		case <-ctx.Done():
			l.flush(time.Now())
			return nil
		case <-l.news:
		}
		wait.Reset(accessEvery)
		select {
		case <-ctx.Done():
		case <-wait.C:
		}
		l.flush(time.Now())
	}
}

func (l *accessLog) flush(now time.Time) {
	l.mu.Lock()
	for name, s := range l.apps {
		l.admit(name, s, now)
		if now.Sub(s.at) > accessIdle {
			delete(l.apps, name)
		}
	}
	lines := l.waiting
	l.waiting = nil
	l.mu.Unlock()
	if len(lines) > 0 {
		l.hub.Append(lines)
	}
}

// appendAccess appends the line about a request or a connection. What a client
// has sent is quoted, so that it can't look like something else.
func appendAccess(b []byte, a *router.Access) []byte {
	b = append(b, a.Client...)
	b = append(b, ' ')
	if a.Proto == "TCP" {
		b = appendQuoted(b, "TCP "+a.Host+a.Target)
		b = fmt.Appendf(b, " %d received %d sent", a.Received, a.Sent)
	} else {
		b = appendQuoted(b, a.Method+" "+a.Host+a.Target+" "+a.Proto)
		b = append(b, ' ')
		b = strconv.AppendInt(b, int64(a.Code), 10)
		b = append(b, ' ')
		b = append(b, dashed(int(a.Sent), a.Sent >= 0)...)
	}
	b = fmt.Appendf(b, " %.4fs to ", a.Took.Seconds())
	if a.Index >= 0 {
		b = fmt.Appendf(b, "%d@%s", a.Index, a.Addr)
	} else {
		b = append(b, '-')
	}
	for _, f := range [][2]string{{"referer", a.Referer}, {"agent", a.UserAgent}, {"forwarded_for", a.ForwardedFor}, {"request_id", a.ID}, {"failure", a.Failure}} {
		if f[1] != "" {
			b = append(b, ' ')
			b = append(b, f[0]...)
			b = append(b, '=')
			b = appendQuoted(b, f[1])
		}
	}
	return b
}

// appendQuoted quotes s, and cuts what is very long.
func appendQuoted(b []byte, s string) []byte {
	const most = 2000 // bytes
	if len(s) <= most {
		return strconv.AppendQuote(b, s)
	}
	return append(strconv.AppendQuote(b, s[:most]), "…"...)
}
