package app

import (
	"crypto/rand"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"
)

// Bounds of tasks and schedules that Validate enforces.
const (
	MaxURLBytes          = 2 << 10
	MaxCronBytes         = 256
	MaxScheduleNameBytes = MaxNameBytes - 11 // its tasks are named NAME-1 to NAME-9999999999
)

// Validate returns nil if t can be run as far as t itself tells, or else an
// ErrInvalid with one sentence a line for each thing that is wrong. It wants a
// Task as WithDefaults returns it.
func (t Task) Validate() error {
	var p problems
	p.task(t)
	return p.err()
}

// Validate is for a Schedule what it is for a Task. It doesn't look at Cron and
// Zone.
func (s Schedule) Validate() error {
	var p problems
	if len(s.Name) > MaxScheduleNameBytes {
		p.add("the name %s has %d characters: that of a schedule can have %d, since its tasks are named NAME-1, NAME-2 and so on", quote(s.Name), len(s.Name), MaxScheduleNameBytes)
	}
	if !slices.Contains([]Concurrency{Allow, Forbid, Replace}, s.Concurrency) {
		p.add("there is no concurrency %s: choose %s, %s or %s", quote(string(s.Concurrency)), Allow, Forbid, Replace)
	}
	if s.Keep < 1 || s.Keep > MaxScheduleKeep {
		p.add("%d tasks that have ended can't be kept: it can be 1 to %d", s.Keep, MaxScheduleKeep)
	}
	if len(s.Task.Spec.NamedVolumes()) > 0 {
		p.add("each task of a schedule would have a volume of its own, as volumes go by the task's name: use a volume on an NFS server, or let the task keep its files elsewhere")
	}
	p.task(s.Task)
	return p.err()
}

func (p *problems) task(t Task) {
	if err := t.Spec.Validate(); err != nil {
		*p = append(*p, strings.Split(err.Error(), "\n")...)
	}
	a := t.Spec
	switch {
	case a.Instances != 1:
		p.add("a task has one instance, not %d: create a task for each", a.Instances)
	case len(a.Routes)+len(a.TCPRoutes) > 0:
		p.add("a task has no routes: create an app for what answers requests")
	case a.Check.Type != CheckNone, a.Startup != nil, a.Readiness != nil:
		p.add("a task has no checks: leave them out")
	}
	if t.Timeout < 0 || time.Duration(t.Timeout) > MaxTaskTimeout {
		p.add("the timeout is %s: it can be more than 0s and at most %s, or 0s for none", t.Timeout, MaxTaskTimeout)
	}
	if t.Retries < 0 || t.Retries > MaxTaskRetries {
		p.add("%d retries: it can be 0 to %d", t.Retries, MaxTaskRetries)
	}
	if ttl := time.Duration(t.TTL); ttl < MinTaskTTL || ttl > MaxTaskTTL {
		p.add("the ttl is %s: it can be %s to %s", t.TTL, MinTaskTTL, MaxTaskTTL)
	}
	p.resultFile(t.ResultFile)
	p.callback(t.CallbackURL)
}

func (p *problems) resultFile(file string) {
	switch {
	case file == "":
	case !strings.HasPrefix(file, "/") || path.Clean(file) == "/" || strings.HasSuffix(file, "/") || len(file) > MaxPathBytes || strings.ContainsFunc(file, isControl):
		p.add("the result file %s must be the absolute path of a file, such as /tmp/result", quote(file))
	}
}

// callback shows nothing of a URL that is wrong: there may be a password in it.
func (p *problems) callback(text string) {
	if text == "" {
		return
	}
	u, err := url.Parse(text)
	switch {
	case len(text) > MaxURLBytes:
		p.add("the callback's URL has %d bytes: at most %d are possible", len(text), MaxURLBytes)
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.Fragment != "":
		p.add("the callback's URL must be http://HOST/PATH or https://HOST/PATH")
	}
}

// TaskName returns a name for a task that got none: the end of its image's
// name and a few random characters.
func TaskName(image string) string {
	image, _, _ = strings.Cut(image, "@")
	image = image[strings.LastIndexByte(image, '/')+1:]
	image, _, _ = strings.Cut(image, ":")
	clean := strings.Map(func(r rune) rune {
		if r < 0x80 && isAlnum(byte(r)) || r == '-' || r == '_' {
			return r
		}
		return '-'
	}, strings.ToLower(image))
	clean = strings.Trim(clean[:min(len(clean), 40)], "-_")
	if clean == "" {
		clean = "task"
	}
	return clean + "-" + strings.ToLower(rand.Text()[:6])
}
