package logfile

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"lattice/app"
)

// Keep says how long the logs of instances that have ended stay on disk. They
// are kept though delivered because a brain that lost its memory asks again.
type Keep struct {
	Age         time.Duration // since the last line
	PerInstance int           // logs of the same app and index
	Logs        int           // all together, for tasks make many; 0: any number
	Bytes       int64         // all together
}

// DefaultKeep is what a zero Keep means.
var DefaultKeep = Keep{Age: 24 * time.Hour, PerInstance: 3, Logs: 4000, Bytes: 512 << 20}

// undeliveredAge is how long a log waits for a brain that never comes back.
const undeliveredAge = 7 * 24 * time.Hour

// stubBytes is more than what is left of a log that was emptied.
const stubBytes = 1 << 10

// ended is the log of an instance that has ended.
type ended struct {
	ID
	at        time.Time // of the last line
	bytes     int64
	delivered bool
}

// events reports whether e is what the platform said about the instance.
func (e ended) events() bool { return strings.Contains(e.GUID, ".") }

// choose returns which logs to remove, and which to empty: those that were not
// delivered, though there is no room for them.
func (k Keep) choose(logs []ended, now time.Time) (remove, empty []ended) {
	type group struct {
		app    string
		index  int
		events bool
	}
	slices.SortFunc(logs, func(a, b ended) int {
		return cmp.Or(b.at.Compare(a.at), cmp.Compare(a.GUID, b.GUID)) // newest first
	})
	have := map[group]int{}
	var total int64
	kept := 0
	for _, e := range logs {
		g := group{e.App, e.Index, e.events()}
		have[g]++
		age := now.Sub(e.at)
		switch fits := total+e.bytes <= k.Bytes; {
		case e.delivered && (!fits || age > k.Age || have[g] > k.PerInstance || k.Logs > 0 && kept >= k.Logs), age > undeliveredAge:
			remove = append(remove, e)
		case !fits && e.bytes > stubBytes:
			empty = append(empty, e)
		default:
			total += e.bytes
			kept++
		}
	}
	return remove, empty
}

// inspect returns what choose must know of the log in dir.
func inspect(dir string, id ID) (ended, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return ended{}, err
	}
	segs, err := segments(dir)
	e := ended{ID: id, at: info.ModTime()}
	for _, s := range segs {
		e.bytes += s.size
		e.at = s.mod
	}
	return e, err
}

// remove deletes a log that nobody writes any more.
func remove(dir string) error {
	owner, err := lock(dir)
	if err != nil {
		return err
	}
	defer owner.Close()
	return os.RemoveAll(dir)
}

// abandon puts one line in the place of all lines after the one with Seq
// after, which says how many they were and why they are gone. It returns how
// many that is.
func abandon(dir string, after uint64, why string) (uint64, error) {
	owner, err := lock(dir)
	if err != nil {
		return 0, err
	}
	defer owner.Close()
	segs, err := segments(dir)
	if err != nil || len(segs) == 0 {
		return 0, err
	}
	last, _, err := survey(dir, segs[len(segs)-1].first)
	if err != nil || last <= after {
		return 0, err
	}
	line := app.AppendLogLine(nil, app.LogLine{Seq: last, At: segs[len(segs)-1].mod, Stream: app.Platform,
		Source: app.SourceLog, Text: fmt.Sprintf("%d lines dropped: %s", last-after, why)})
	stub := segmentPath(dir, after+1)
	if err := replace(stub, line); err != nil {
		return 0, err
	}
	for _, s := range segs {
		if path := segmentPath(dir, s.first); path != stub {
			if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return 0, err
			}
		}
	}
	return last - after, nil
}

// removeJunk deletes a folder that is no log and has not changed for long.
func removeJunk(dir string, now time.Time) error {
	info, err := os.Stat(dir)
	if err != nil || now.Sub(info.ModTime()) < DefaultKeep.Age {
		return err
	}
	return remove(dir)
}
