package main

import (
	"sync"
	"time"

	"lattice/cells/logfile"
)

// A settler sees to it that the log says how many lines were dropped as soon
// as it can be written again, though the app writes nothing more.
type settler struct {
	w *logfile.Writer

	mu    sync.Mutex // guards what follows
	timer *time.Timer
}

// later tries it after a while, and again until it works.
func (s *settler) later() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.timer == nil {
		s.timer = time.AfterFunc(settleWait, s.try)
	}
}

func (s *settler) try() {
	s.mu.Lock()
	s.timer = nil
	s.mu.Unlock()
	if s.w.Settle() != nil {
		s.later()
	}
}

// end closes the log, for which it waits a little if the disk is full.
func (s *settler) end() error {
	for range lastTries {
		if s.w.Settle() == nil {
			break
		}
		time.Sleep(settleWait)
	}
	return s.w.Close()
}
