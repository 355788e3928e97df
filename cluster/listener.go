package cluster

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
)

// A listener is what memberlist calls, mostly while it holds its own lock: it
// copies, notes in the roster, and returns.
type listener struct {
	meta   *atomic.Pointer[[]byte]
	roster *roster
	log    *slog.Logger
}

var (
	_ memberlist.Delegate         = (*listener)(nil)
	_ memberlist.EventDelegate    = (*listener)(nil)
	_ memberlist.PingDelegate     = (*listener)(nil)
	_ memberlist.ConflictDelegate = (*listener)(nil)
)

// NodeMeta returns what this node tells of itself.
func (l *listener) NodeMeta(int) []byte { return *l.meta.Load() }

// NotifyJoin notes a node that is new or back.
func (l *listener) NotifyJoin(n *memberlist.Node) {
	meta, err := decodeMeta(n.Meta)
	if err != nil { // of a newer version perhaps; it is a node all the same
		l.log.Warn("can't read what a node says of itself", "host", n.Name, "err", err)
	}
	l.roster.joined(Member{Name: n.Name, Address: n.Address(), Host: n.Addr.String(), Meta: meta})
}

// NotifyUpdate notes a node's new meta.
func (l *listener) NotifyUpdate(n *memberlist.Node) { l.NotifyJoin(n) }

// NotifyLeave notes that a node left or died.
func (l *listener) NotifyLeave(n *memberlist.Node) { l.roster.left(n.Name) }

// NotifyPingComplete notes that a node answered a probe.
func (l *listener) NotifyPingComplete(n *memberlist.Node, _ time.Duration, _ []byte) {
	l.roster.heard(n.Name)
}

// NotifyConflict notes that two addresses go by one name: a node that came back
// elsewhere before it was known to be dead, or a second node of that name.
func (l *listener) NotifyConflict(known, other *memberlist.Node) {
	l.roster.claim(known.Name, other.Address())
}

// AckPayload is not used.
func (l *listener) AckPayload() []byte { return nil }

// NotifyMsg is not used.
func (l *listener) NotifyMsg([]byte) {}

// GetBroadcasts is not used.
func (l *listener) GetBroadcasts(int, int) [][]byte { return nil }

// LocalState is not used.
func (l *listener) LocalState(bool) []byte { return nil }

// MergeRemoteState is not used.
func (l *listener) MergeRemoteState([]byte, bool) {}

// strangersEvery is how often a warning of messages with a foreign key may be
// logged: a node that was put out, or anybody at all, sends many.
const strangersEvery = time.Minute

// A logWriter carries memberlist's log, one line a call, over to slog. It also
// picks out the one thing that memberlist tells in no other way: that its probe
// of a node failed.
type logWriter struct {
	log       *slog.Logger
	suspect   func(name string)
	strangers atomic.Int64 // Unix time in ns of the last warning of a foreign key
}

func (w *logWriter) Write(p []byte) (int, error) {
	level, text := slog.LevelDebug, strings.TrimSpace(string(p))
	if head, rest, ok := strings.Cut(text, "] "); ok && strings.HasPrefix(head, "[") {
		text = strings.TrimPrefix(rest, "memberlist: ")
		if head == "[WARN" || head == "[ERR" {
			level = slog.LevelWarn
		}
	}
	if level == slog.LevelWarn && strings.Contains(text, "could decrypt") && !w.tellOfStranger(time.Now()) {
		level = slog.LevelDebug
	}
	if rest, ok := strings.CutPrefix(text, "Suspect "); ok {
		if name, ok := strings.CutSuffix(rest, " has failed, no acks received"); ok {
			w.suspect(name)
		}
	}
	w.log.Log(context.Background(), level, "gossip", "reason", text)
	return len(p), nil
}

// tellOfStranger reports whether it is time for another warning.
func (w *logWriter) tellOfStranger(now time.Time) bool {
	last := w.strangers.Load()
	return now.Sub(time.Unix(0, last)) >= strangersEvery && w.strangers.CompareAndSwap(last, now.UnixNano())
}
