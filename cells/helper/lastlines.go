package main

import (
	"strings"
	"sync"
)

const (
	maxLast  = 20
	maxBytes = 8 << 10
)

// lastLines keeps the end of what is written to it.
type lastLines struct {
	mu  sync.Mutex // guards what follows
	end []byte
}

func (l *lastLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.end = append(l.end, p[max(0, len(p)-maxBytes):]...)
	l.end = l.end[max(0, len(l.end)-maxBytes):]
	return len(p), nil
}

func (l *lastLines) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := strings.Split(strings.TrimRight(string(l.end), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-maxLast):], "\n")
}
