package app

import (
	"encoding/json"
	"net"
	"strconv"
	"strings"
)

// SessionKind is what a session does inside an instance.
type SessionKind string

// The kinds of sessions.
const (
	SessionExec   SessionKind = "exec"   // runs Command as it is
	SessionShell  SessionKind = "shell"  // runs a shell: for a person or, with Line, for that line
	SessionSFTP   SessionKind = "sftp"   // is a server of SFTP
	SessionRead   SessionKind = "read"   // sends Path as a tar stream on ChanOut
	SessionWrite  SessionKind = "write"  // unpacks the tar stream on ChanIn to Path
	SessionDial   SessionKind = "dial"   // is a connection to Host and Port, as the instance sees them
	SessionListen SessionKind = "listen" // listens on Host and Port inside the instance, and tells of each connection
	SessionAccept SessionKind = "accept" // is the connection Conn, which a session of SessionListen told of
)

// Bounds of a SessionRequest.
const (
	MaxSessionArgs  = 512
	MaxSessionBytes = 64 << 10 // of a request, as JSON
	MaxTerminal     = 2000     // columns or rows
)

// A SessionRequest says what a session shall do.
type SessionRequest struct {
	Kind    SessionKind  `json:"kind"`
	Command []string     `json:"command,omitempty"`
	Line    string       `json:"line,omitempty"`   // for the shell
	Path    string       `json:"path,omitempty"`   // absolute, or from the working directory of the app
	Owners  bool         `json:"owners,omitempty"` // SessionWrite: files keep the owners that the stream names; else they are the app's user's
	Env     []string     `json:"env,omitempty"`    // NAME=value, beside the app's own
	TTY     bool         `json:"tty,omitempty"`    // with a terminal; ChanErr is then part of ChanOut
	Term    string       `json:"term,omitempty"`   // its kind, such as xterm
	Size    TerminalSize `json:"size,omitzero"`
	Host    string       `json:"host,omitempty"`
	Port    int          `json:"port,omitempty"` // 0: any, of SessionListen
	Conn    string       `json:"conn,omitempty"`
}

// TerminalSize is in characters; 0: not known.
type TerminalSize struct {
	Cols int `json:"cols"`
	Rows int `json:"rows"`
}

// A Session is a session that a cell shall attend to.
type Session struct {
	ID      string         `json:"id"` // unique for ever, and not to be guessed
	App     string         `json:"app"`
	GUID    string         `json:"guid"` // of the container
	Request SessionRequest `json:"request"`
}

// A SessionOrder asks for a session.
type SessionOrder struct {
	Actor   string // who wants it
	Place   SessionPlace
	Request SessionRequest
	Quiet   bool // it is of lattice's own, and not told in the events
}

// A SessionPlace is where a session takes place.
type SessionPlace struct {
	App   string // or the task
	Task  bool
	Index int    // NoIndex of a task
	Cell  string //
	ID    string // of the placement
	GUID  string // of the container
}

// String names the instance or the task as people do.
func (p SessionPlace) String() string {
	if p.Task {
		return p.App
	}
	return p.App + "/" + strconv.Itoa(p.Index)
}

// A Channel says what a frame of a session is part of.
type Channel byte

// The channels. An empty frame on one of the first three is its end, and one on
// ChanControl a sign of life.
const (
	ChanIn      Channel = 0 // to the instance: standard input, or what a connection sends there
	ChanOut     Channel = 1 // from it: standard output, or what a connection brings
	ChanErr     Channel = 2 // from it: standard error
	ChanControl Channel = 3 // to the instance first a SessionRequest; then SessionControls, both ways
	ChanEnd     Channel = 4 // from the instance, the last frame: a SessionEnd
)

// MaxFrame is the most bytes in a frame that is sent. One that is received may
// have up to MaxFrameTaken, for senders that don't count.
const (
	MaxFrame      = 32 << 10
	MaxFrameTaken = 1 << 20
)

// A SessionControl is one of its fields.
type SessionControl struct {
	Resize *TerminalSize `json:"resize,omitempty"` // to the instance
	Signal string        `json:"signal,omitempty"` // to the instance: INT, TERM …; goes to the program and its children

	Opened   *SessionOpening  `json:"opened,omitempty"`   // from the instance, once: the program runs, the connection is made, or the port listens
	Accepted *SessionAccepted `json:"accepted,omitempty"` // from the instance: SessionListen has a connection
}

// A SessionOpening says how a session began.
type SessionOpening struct {
	Port int `json:"port,omitempty"` // that SessionListen listens on
}

// A SessionAccepted is a connection that waits for a SessionAccept, though not
// for long.
type SessionAccepted struct {
	Conn string `json:"conn"`
	From string `json:"from"` // ip:port
}

// A SessionEnd says how a session ended.
type SessionEnd struct {
	Code   int    `json:"code"`             // exit code of the program: 128+n when signal n ended it, 127 when there is no such program
	Reason string `json:"reason,omitempty"` // a sentence, when it is not that the program ended by itself
}

// SessionBroken is the Code of a SessionEnd that no program had.
const SessionBroken = 255

// ParseSessionRequest reads a request and checks it.
func ParseSessionRequest(b []byte) (SessionRequest, error) {
	var r SessionRequest
	if len(b) > MaxSessionBytes {
		return r, Invalid("the request has %d bytes, but at most %d are possible", len(b), MaxSessionBytes)
	}
	if err := json.Unmarshal(b, &r); err != nil {
		return r, Invalid("the first frame of a session must be its request in JSON: %v", err)
	}
	return r, r.Validate()
}

// Validate returns what is wrong with r, which is ErrInvalid.
func (r SessionRequest) Validate() error {
	switch {
	case len(r.Command) > MaxSessionArgs || len(r.Env) > MaxSessionArgs:
		return Invalid("a session can have at most %d arguments and %d variables", MaxSessionArgs, MaxSessionArgs)
	case r.Size.Cols < 0 || r.Size.Rows < 0 || r.Size.Cols > MaxTerminal || r.Size.Rows > MaxTerminal:
		return Invalid("a terminal can have at most %d columns and rows", MaxTerminal)
	case r.hasNUL():
		return Invalid("what a session is asked for must not have NUL bytes in it")
	}
	for _, e := range r.Env {
		if name, _, ok := strings.Cut(e, "="); !ok || !isVariable(name) {
			return Invalid("%.40q is not a variable: write it as NAME=value", e)
		}
	}
	return r.validateKind()
}

func (r SessionRequest) hasNUL() bool {
	for _, list := range [][]string{r.Command, r.Env, {r.Line, r.Path, r.Term, r.Host}} {
		for _, s := range list {
			if hasNUL(s) {
				return true
			}
		}
	}
	return false
}

func (r SessionRequest) validateKind() error {
	switch r.Kind {
	case SessionExec:
		if len(r.Command) == 0 || r.Command[0] == "" {
			return Invalid("a command is needed")
		}
	case SessionShell, SessionSFTP:
	case SessionRead, SessionWrite:
		if r.Path == "" {
			return Invalid("a path is needed")
		}
	case SessionDial, SessionListen:
		least := 1
		if r.Kind == SessionListen {
			least = 0
		}
		if r.Port < least || r.Port > 65535 || len(r.Host) > maxHostBytes {
			return Invalid("%q and %d are not a host and a port from 1 to 65535", r.Host, r.Port)
		}
	case SessionAccept:
		if r.Conn == "" {
			return Invalid("the connection to accept is needed")
		}
	default:
		return Invalid("%.40q is not a kind of session", string(r.Kind))
	}
	return nil
}

// Title says in a word or two what the session does, without what may be a
// secret: of a command only its first word.
func (r SessionRequest) Title() string {
	first := r.Line
	switch r.Kind {
	case SessionExec:
		first = r.Command[0]
	case SessionDial, SessionListen:
		return string(r.Kind) + " " + net.JoinHostPort(r.Host, strconv.Itoa(r.Port))
	case SessionRead, SessionWrite:
		return string(r.Kind) + " " + r.Path
	}
	for word := range strings.FieldsSeq(first) {
		if !strings.Contains(word, "=") { // else a variable, and maybe a secret
			return string(r.Kind) + " " + word
		}
	}
	return string(r.Kind)
}
