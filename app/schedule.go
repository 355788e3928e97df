package app

import (
	"cmp"
	"time"
)

// Limits and defaults of a Schedule.
const (
	DefaultScheduleKeep = 5   // tasks that have ended
	MaxScheduleKeep     = 100 //
	MaxScheduleHistory  = 20  // entries
)

// Concurrency says what a schedule does when it is time and its last task still
// runs.
type Concurrency string

// The kinds of concurrency.
const (
	Allow   Concurrency = "allow"   // one more
	Forbid  Concurrency = "forbid"  // not this time
	Replace Concurrency = "replace" // cancel it, then one more
)

// A Schedule makes a task again and again. Times that passed while the brain
// was down, or its clock stood still, are made up for by one task at most.
type Schedule struct {
	Name        string      `json:"name"`
	Cron        string      `json:"cron"`                  // five fields, or six with seconds first, or @daily, @every 2h, …
	Zone        string      `json:"zone,omitempty"`        // of the time in Cron, such as Europe/Berlin; empty: UTC
	Concurrency Concurrency `json:"concurrency,omitempty"` // empty: Allow
	Keep        int         `json:"keep,omitempty"`        // that many of its tasks are kept that have ended; 0: DefaultScheduleKeep
	Task        Task        `json:"task"`                  // what to run; tasks are named NAME-1, NAME-2, …

	// Set by the brain.
	CreatedAt time.Time     `json:"created_at"`
	LastAt    time.Time     `json:"last_at,omitzero"` // the last time that was dealt with
	NextAt    time.Time     `json:"next_at,omitzero"` // zero: never again
	Runs      uint64        `json:"runs"`             // how many tasks it has made; the last is NAME-Runs
	History   []ScheduleRun `json:"history,omitempty"`
}

// A ScheduleRun is what a Schedule did at one of its times.
type ScheduleRun struct {
	At     time.Time `json:"at"`               // when it was due
	Task   string    `json:"task,omitempty"`   // that was made; empty: none
	Missed int       `json:"missed,omitempty"` // times before At that were passed over, because the brain was not there
	Note   string    `json:"note,omitempty"`   // why none was made, or what became of the one before
	State  State     `json:"state,omitempty"`  // of the task; empty: it is gone without
	Failed bool      `json:"failed,omitempty"`
	Reason string    `json:"reason,omitempty"` // why it failed
}

// WithDefaults returns a copy of s as far as a person writes it, with
// everything filled in that may be left out.
func (s Schedule) WithDefaults() Schedule {
	return Schedule{
		Name: s.Name, Cron: s.Cron, Zone: s.Zone, Concurrency: cmp.Or(s.Concurrency, Allow),
		Keep: cmp.Or(s.Keep, DefaultScheduleKeep), Task: s.template(),
	}
}

// template returns the task with its defaults, named as the schedule.
func (s Schedule) template() Task {
	t := s.Task
	t.Name, t.Spec.Name = s.Name, s.Name
	return t.WithDefaults()
}

// WithoutSecrets returns s with no value of its task's environment.
func (s Schedule) WithoutSecrets() Schedule {
	s.Task = s.Task.WithoutSecrets()
	return s
}
