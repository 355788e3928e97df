package app

import (
	"cmp"
	"maps"
	"net/url"
	"time"
)

// Limits and defaults of a Task.
const (
	MaxResultBytes = 20 << 10 // of a result file
	MaxTaskRetries = 20
	MaxTaskTimeout = 30 * 24 * time.Hour
	MinTaskTTL     = time.Second
	MaxTaskTTL     = 10 * 365 * 24 * time.Hour
	DefaultTaskTTL = 24 * time.Hour
)

// The states that only tasks have, beside Claimed and Running.
const (
	Pending   State = "PENDING"   // waits for a cell, or for its next attempt
	Completed State = "COMPLETED" // has ended, well or not
)

// A Task is a container that runs once, to an end, and what became of it.
//
// Each attempt is made at most once: one that may have been started is never
// started again. There is another only where Retries asks for it.
type Task struct {
	Name string `json:"name"` // no app and no other task has it
	Spec App    `json:"spec"` // what runs; its Name is the task's, and it has one instance, no check and no routes
	TaskOptions

	// Set by the brain.
	Schedule  string    `json:"schedule,omitempty"` // that made it; empty: a person did
	State     State     `json:"state"`
	Failed    bool      `json:"failed,omitempty"` // Completed, and not with exit code 0
	Cancelled bool      `json:"cancelled,omitempty"`
	Reason    string    `json:"reason,omitempty"`    // why it failed, or what it waits for
	ExitCode  *int      `json:"exit_code,omitempty"` // of the last attempt; nil: it did not end by itself
	Result    string    `json:"result,omitempty"`    // what was in the result file
	Attempts  []Attempt `json:"attempts,omitempty"`  // oldest first
	CreatedAt time.Time `json:"created_at"`
	StartedAt time.Time `json:"started_at,omitzero"` // of the last attempt
	EndedAt   time.Time `json:"ended_at,omitzero"`   // when it was Completed
	RetryAt   time.Time `json:"retry_at,omitzero"`   // of the next attempt; zero: as soon as there is a cell
	Callback  *Callback `json:"callback,omitempty"`  // how the call is getting on; nil: none is wanted, or not yet

	// What its cell reports of the last attempt; never in the store.
	Run *Instance `json:"run,omitempty"`
}

// TaskOptions are what a task has beside its App.
type TaskOptions struct {
	Timeout     Duration `json:"timeout,omitzero"`       // from start to end of an attempt; 0: none
	Retries     int      `json:"retries,omitempty"`      // attempts after a failed one
	ResultFile  string   `json:"result_file,omitempty"`  // absolute path in the container, read after the end
	CallbackURL string   `json:"callback_url,omitempty"` // is told the task by POST when it is Completed
	TTL         Duration `json:"ttl,omitzero"`           // how long it is kept after its end; 0: DefaultTaskTTL
	Build       *Build   `json:"build,omitempty"`        // it makes an image; only the builds of the API can ask for that
}

// An Attempt is one run of a task on a cell.
type Attempt struct {
	ID        string    `json:"id"` // as of a Placement: unique for ever
	Cell      string    `json:"cell"`
	At        time.Time `json:"at"` // when it was decided on
	StartedAt time.Time `json:"started_at,omitzero"`
	EndedAt   time.Time `json:"ended_at,omitzero"`
	Failed    bool      `json:"failed,omitempty"`
	Reason    string    `json:"reason,omitempty"`
	ExitCode  *int      `json:"exit_code,omitempty"`
	GUID      string    `json:"guid,omitempty"`      // of the container
	LogLines  uint64    `json:"log_lines,omitempty"` // Seq of its last line; 0: unknown, or none
}

// A Callback is how far the call at the end of a task is.
type Callback struct {
	Tries  int       `json:"tries"`
	Done   bool      `json:"done,omitempty"`    // it was taken
	GaveUp bool      `json:"gave_up,omitempty"` // it was not, and won't be tried again
	Reason string    `json:"reason,omitempty"`  // of the last failure
	NextAt time.Time `json:"next_at,omitzero"`
}

// Settled reports whether no call is to come.
func (c *Callback) Settled() bool { return c == nil || c.Done || c.GaveUp }

// A TaskRun is what an Instance has more when it is the attempt of a task.
type TaskRun struct {
	StartedAt time.Time `json:"started_at,omitzero"`
	EndedAt   time.Time `json:"ended_at,omitzero"` // then State is Completed
	Failed    bool      `json:"failed,omitempty"`  // Instance.Reason says why
	ExitCode  *int      `json:"exit_code,omitempty"`
	Result    string    `json:"result,omitempty"`
	LogLines  uint64    `json:"log_lines,omitempty"` // Seq of the container's last line
}

// A TaskOrder is what an Assignment has more when it is the attempt of a task.
type TaskOrder struct {
	TaskOptions
	Started bool `json:"started,omitempty"` // the brain knows that it was: a cell that doesn't must not start it
}

// Current returns the attempt that has a cell and has not ended, or nil.
func (t Task) Current() *Attempt {
	if last := t.Last(); last != nil && last.EndedAt.IsZero() {
		return last
	}
	return nil
}

// Last returns the newest attempt, or nil.
func (t Task) Last() *Attempt {
	if len(t.Attempts) == 0 {
		return nil
	}
	return &t.Attempts[len(t.Attempts)-1]
}

// Cell returns the cell of the newest attempt, or "".
func (t Task) Cell() string {
	if last := t.Last(); last != nil {
		return last.Cell
	}
	return ""
}

// ExpiresAt returns when a Completed task is no longer kept.
func (t Task) ExpiresAt() time.Time {
	return t.EndedAt.Add(time.Duration(cmp.Or(t.TTL, Duration(DefaultTaskTTL))))
}

// WithDefaults returns a copy of t as far as a person writes it, with
// everything filled in that may be left out, and without what is the brain's.
func (t Task) WithDefaults() Task {
	t = Task{Name: t.Name, Spec: t.Spec, TaskOptions: t.TaskOptions}
	t.TTL = cmp.Or(t.TTL, Duration(DefaultTaskTTL))
	t.Spec.Check.Type = cmp.Or(t.Spec.Check.Type, CheckNone)
	a := t.Spec.WithDefaults()
	a.Name = cmp.Or(t.Name, a.Name)
	t.Name = a.Name
	a.Instances = cmp.Or(a.Instances, 1)
	a.NoRoutes = len(a.Routes) == 0 // else Validate complains
	a.Revision, a.Stopped, a.Rollout, a.CreatedAt = 0, false, nil, time.Time{}
	t.Spec = a
	return t
}

// WithoutSecrets returns t as views show it: with no value of its environment,
// and of the URL that is called only the host, for the rest often is a secret.
func (t Task) WithoutSecrets() Task {
	t.Spec = t.Spec.withoutSecrets()
	if t.Build != nil {
		t.Build = t.Build.withoutSecrets()
	}
	if u, err := url.Parse(t.CallbackURL); t.CallbackURL != "" {
		t.CallbackURL = Hidden
		if err == nil && u.Host != "" {
			t.CallbackURL = u.Scheme + "://" + u.Host + "/" + Hidden
		}
	}
	return t
}

// withoutSecrets returns a with the names of its variables only.
func (a App) withoutSecrets() App {
	env := maps.Clone(a.Env)
	for name := range env {
		env[name] = Hidden
	}
	a.Env = env
	return a
}

// Hidden stands for the value of a secret where it isn't shown.
const Hidden = "(hidden)"
