package node

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"lattice/api"
	"lattice/app"
	"lattice/images"
)

// builds is api.Builds.
type builds struct{ b *brain }

func (s builds) MaxSource() int64 { return int64(s.b.cfg.MaxBuildSourceMB) << 20 }

func (s builds) CreateBuild(ctx context.Context, r app.BuildRequest) (app.Task, error) {
	if _, err := images.Path(r.Image); err != nil {
		return app.Task{}, err
	}
	t := r.Task().WithDefaults()
	if err := t.Validate(); err != nil {
		return t, err
	}
	return loggedTasks{s.b.sched, s.b}.CreateTask(ctx, t)
}

func (s builds) SendSource(ctx context.Context, name string, source io.Reader) error {
	place, order, err := s.await(ctx, name)
	if err != nil {
		return err
	}
	link, err := s.dial(ctx, place)
	if err != nil {
		return fmt.Errorf("reach the build %s: %w", name, err)
	}
	defer link.Abort()
	head, err := json.Marshal(order)
	if err != nil {
		return err
	}
	return deliver(link, io.MultiReader(bytes.NewReader(append(head, '\n')), source))
}

// await waits until the build has a container.
func (s builds) await(ctx context.Context, name string) (app.SessionPlace, app.BuildOrder, error) {
	for {
		changed := s.b.sched.Changed()
		t, err := s.b.sched.Task(name)
		switch {
		case err != nil:
			return app.SessionPlace{}, app.BuildOrder{}, err
		case t.Build == nil:
			return app.SessionPlace{}, app.BuildOrder{}, fmt.Errorf("build %s: %w", name, app.ErrNotFound)
		case t.State == app.Completed:
			return app.SessionPlace{}, app.BuildOrder{}, fmt.Errorf("the build %s has ended: %s: %w", name, t.Reason, app.ErrConflict)
		}
		place, err := execs{s.b.broker, s.b}.FindTask(name)
		if err == nil {
			order := app.BuildOrder{Build: *t.Build, Token: s.b.buildToken(t), MemoryMB: t.Spec.MemoryMB, DiskMB: t.Spec.DiskMB}
			return place, order, nil
		}
		if !errors.Is(err, app.ErrConflict) {
			return app.SessionPlace{}, app.BuildOrder{}, err
		}
		select {
		case <-ctx.Done():
			return app.SessionPlace{}, app.BuildOrder{}, ctx.Err()
		case <-changed:
		}
	}
}

const (
	listenTime  = 20 * time.Second // for a program that was started to listen
	listenPause = 50 * time.Millisecond
)

// dial connects to the program in the build's container.
func (s builds) dial(ctx context.Context, place app.SessionPlace) (app.Link, error) {
	order := app.SessionOrder{Place: place, Quiet: true, Request: app.SessionRequest{Kind: app.SessionDial, Host: "127.0.0.1", Port: app.BuildPort}}
	for late := time.Now().Add(listenTime); ; {
		link, err := execs{s.b.broker, s.b}.Open(ctx, ctx, order)
		if err != nil {
			return nil, err
		}
		if _, err = app.AwaitOpening(link); err == nil {
			return link, nil
		}
		link.Abort()
		if time.Now().After(late) {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(listenPause):
		}
	}
}

// deliver sends all of r, and returns what the other side says of it.
func deliver(link app.Link, r io.Reader) error {
	sent := make(chan error, 1)
	go func() {
		_, err := io.CopyBuffer(struct{ io.Writer }{frames{link}}, struct{ io.Reader }{r}, make([]byte, app.MaxFrame))
		if err == nil {
			err = link.Send(app.ChanIn, nil)
		}
		if err != nil {
			link.Abort()
		}
		sent <- err
	}()
	answer, err := hear(link)
	if err != nil || answer != "ok" {
		link.Abort() // and with it what is still being sent
	}
	if sendErr := <-sent; sendErr != nil && answer == "" {
		return sendErr // of the source, or of the link
	}
	switch {
	case answer == "ok":
		return nil
	case answer != "":
		return app.Invalid("%s", answer)
	case err != nil:
		return fmt.Errorf("the build has ended before it had its source: %w", err)
	}
	return errors.New("the build has ended before it had its source")
}

// frames writes to a session.
type frames struct{ link app.Link }

func (f frames) Write(p []byte) (int, error) {
	if err := f.link.Send(app.ChanIn, p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// hear returns the line that the other side says.
func hear(link app.Link) (string, error) {
	var said []byte
	for len(said) < app.MaxFrame {
		ch, data, err := link.Receive()
		switch {
		case err != nil:
			return "", err
		case ch == app.ChanEnd:
			return strings.TrimSpace(string(said)), nil
		case ch == app.ChanOut:
			said = append(said, data...)
			if text, ok := strings.CutSuffix(string(said), "\n"); ok && !strings.Contains(text, "\n") {
				return text, nil
			}
		}
	}
	return strings.TrimSpace(string(said)), nil
}

// buildToken opens the registry to one attempt of a build, as long as it lasts.
func (b *brain) buildToken(t app.Task) string {
	attempt := ""
	if last := t.Current(); last != nil {
		attempt = last.ID
	}
	mac := hmac.New(sha256.New, []byte("lattice build "+string(b.secrets.Admin())))
	fmt.Fprintf(mac, "%s %s", t.Name, attempt)
	return t.Name + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// mayBuild decides what a build may of the registry: push its own image, and
// pull what may run here.
func (b *brain) mayBuild(r *http.Request, push bool) error {
	_, token, ok := r.BasicAuth()
	if !ok {
		token = strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	}
	t, err := b.builder(token)
	if err != nil {
		return err
	}
	repo := images.Wanted(r)
	if repo == "" { // GET /v2/
		return nil
	}
	own, err := images.Path(t.Build.Image)
	switch {
	case err != nil:
		return err
	case repo == own:
		return nil
	case push:
		return app.Unauthorized("this build may push %s only", t.Build.Image)
	}
	return b.registries.MayRun(repo)
}

// builder returns the build that a token belongs to, which must not have ended.
func (b *brain) builder(token string) (app.Task, error) {
	name, _, _ := strings.Cut(token, ".")
	t, err := b.sched.Task(name)
	if err != nil || t.Build == nil || t.State == app.Completed || !hmac.Equal([]byte(token), []byte(b.buildToken(t))) {
		return t, app.Unauthorized("this is not the token of a build that runs")
	}
	return t, nil
}

// builtBy is images.Config.Built.
func (b *brain) builtBy(r *http.Request) *app.BuiltImage {
	if r.Header.Get(app.BuildHeader) == "" {
		return nil
	}
	_, token, ok := r.BasicAuth()
	if !ok {
		token = strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	}
	t, err := b.builder(token)
	if err != nil {
		return nil
	}
	return &app.BuiltImage{At: time.Now().UTC(), By: t.Build.By(), Packs: t.Build.Builder != "", From: t.Build.From, Task: t.Name}
}

var _ api.Builds = builds{}
