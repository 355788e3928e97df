package app

import "time"

// MaxLine is the longest log line kept in one piece, in bytes. A longer one is
// cut into several, each but the last marked Partial.
const MaxLine = 60 << 10

// Stream is where a log line came from.
type Stream string

// The streams.
const (
	Stdout   Stream = "out"
	Stderr   Stream = "err"
	Platform Stream = "event" // written by the platform, not by the app
)

// The sources of log lines.
const (
	SourceApp    = "APP"    // the app's own output
	SourceCell   = "CELL"   // what the cell did with the instance
	SourceHealth = "HEALTH" // what the check found
	SourceRouter = "RTR"    // a request that the router passed on
	SourceLog    = "LOG"    // the log itself: the line stands for lines that were dropped, and has the Seq of the last of them
)

// DebugLog is in place of an app's name in the lines that lattice logs about
// itself; their Source is the node. No app can have that name.
const DebugLog = ".lattice"

// A LogLine is one line of one instance.
type LogLine struct {
	App     string    `json:"app"`
	Index   int       `json:"index"`
	GUID    string    `json:"guid"` // of the container; the platform's events about a placement have a GUID of their own, which has a dot in it
	Seq     uint64    `json:"seq"`  // 1, 2, 3… within GUID; a gap means lost lines
	At      time.Time `json:"at"`   // when it was read from the app
	Stream  Stream    `json:"stream"`
	Source  string    `json:"source"` // SourceApp, SourceCell, …
	Text    string    `json:"text"`   // without the newline
	Partial bool      `json:"partial,omitempty"`
}

// IsLoss reports whether l stands for lines that were dropped: for those after
// the one before it up to its own Seq.
func (l LogLine) IsLoss() bool { return l.Stream == Platform && l.Source == SourceLog }
