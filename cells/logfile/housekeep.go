package logfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"lattice/app"
)

// housekeep takes notice of what changed in Root and removes old logs.
func (s *shipment) housekeep(now time.Time) {
	if now.After(s.prune) && s.Live != nil {
		s.pruneAll(now) // first, for a survey throws doubt on what was delivered
		s.prune = now.Add(pruneEvery)
	}
	names, all := s.watch.take()
	for name := range names {
		s.touch(name)
	}
	if due := now.After(s.survey); due || all {
		s.surveyAll()
		if due {
			s.doubt() // has the brain forgotten anything meanwhile?
		}
		s.survey = now.Add(surveyEvery)
	}
	if now.After(s.poll) {
		for _, t := range s.logs {
			if !t.watched {
				s.enqueue(t)
			}
		}
		s.poll = now.Add(tick)
	}
}

// touch looks at a folder that has changed.
func (s *shipment) touch(name string) {
	if t, ok := s.logs[name]; ok {
		s.enqueue(t)
		return
	}
	dir := filepath.Join(s.Root, name)
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		delete(s.junk, name)
		return
	}
	watchErr := s.watch.add(name) // before it is read, so that nothing falls between
	r, err := OpenReader(dir, 0)
	if err != nil {
		if !s.junk[name] && !errors.Is(err, fs.ErrNotExist) {
			s.Log.Warn("folder is not a log", "err", err)
		}
		s.junk[name] = true // its meta may still come
		return
	}
	delete(s.junk, name)
	if watchErr != nil {
		s.Log.Warn("log can't be watched, looking at it every second; fs.inotify.max_user_watches may be too low",
			"app", r.ID().App, "instance", r.ID().Index, "err", watchErr)
	}
	t := &tail{r: r, watched: watchErr == nil}
	s.logs[name] = t
	s.enqueue(t)
}

// surveyAll looks at every folder in Root.
func (s *shipment) surveyAll() {
	entries, err := os.ReadDir(s.Root)
	if err != nil {
		s.Log.Error("logs not listed", "err", err)
		return
	}
	there := map[string]bool{}
	for _, e := range entries {
		there[e.Name()] = true
		s.touch(e.Name())
	}
	for guid := range s.logs {
		if !there[guid] {
			s.forget(guid)
		}
	}
}

func (s *shipment) forget(guid string) {
	s.logs[guid].gone = true // it may still be queued
	delete(s.logs, guid)
}

// pruneAll removes what need not be kept any longer.
func (s *shipment) pruneAll(now time.Time) {
	keep := s.Keep
	if keep == (Keep{}) {
		keep = DefaultKeep
	}
	live := s.Live()
	if live == nil {
		return
	}
	remove, empty := keep.choose(s.ended(live), now)
	for _, e := range remove {
		s.remove(e)
	}
	for _, e := range empty {
		s.abandon(e)
	}
	for name := range s.junk {
		if err := removeJunk(filepath.Join(s.Root, name), now); err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.Log.Warn("folder among the logs not removed", "err", err)
		}
	}
}

// ended returns the logs that are not live.
func (s *shipment) ended(live map[string]bool) []ended {
	var logs []ended
	for guid, t := range s.logs {
		if base, _, _ := strings.Cut(guid, "."); live[base] {
			continue
		}
		e, err := inspect(filepath.Join(s.Root, guid), t.r.ID())
		if err != nil {
			continue // removed by somebody else; the next survey sees it
		}
		e.delivered = t.known && t.check.IsZero() && !t.queued && t.has == t.r.After()
		logs = append(logs, e)
	}
	return logs
}

func (s *shipment) remove(e ended) {
	err := remove(filepath.Join(s.Root, e.GUID))
	switch {
	case errors.Is(err, app.ErrConflict): // somebody still writes it
		return
	case err != nil:
		s.Log.Warn("log not removed, will try again", "app", e.App, "instance", e.Index, "err", err)
		return
	case !e.delivered:
		s.Log.Warn("log removed undelivered, because it waited for too long", "app", e.App, "instance", e.Index)
	}
	s.forget(e.GUID)
}

func (s *shipment) abandon(e ended) {
	t := s.logs[e.GUID]
	n, err := abandon(filepath.Join(s.Root, e.GUID), t.has,
		"the logs of ended instances outgrew what the cell keeps until it can deliver them")
	switch {
	case errors.Is(err, app.ErrConflict): // somebody still writes it
	case err != nil:
		s.Log.Warn("log not emptied, will try again", "app", e.App, "instance", e.Index, "err", err)
	case n > 0:
		s.Log.Warn("log emptied undelivered, because there is no room for it", "app", e.App, "instance", e.Index)
		t.r.Seek(t.has)
		s.enqueue(t)
	}
}
