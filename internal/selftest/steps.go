package selftest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"lattice/api"
	"lattice/app"
)

func create(ctx context.Context, t *trial) error {
	_, err := t.brain.CreateApp(ctx, app.App{
		Name: t.name, Image: image, Instances: 1, MemoryMB: 64, Env: map[string]string{"LATTICE_TEST": t.name},
	})
	if err != nil {
		return err
	}
	if _, err := t.running(ctx, 1); err != nil {
		return err
	}
	return t.until(ctx, "wait for an answer through "+t.Router, func() error {
		_, err := t.get(ctx, "/")
		return err
	})
}

func environment(ctx context.Context, t *trial) error {
	body, err := t.get(ctx, "/env")
	if err != nil {
		return err
	}
	for _, want := range []string{"LATTICE_TEST=" + t.name, "PORT="} {
		if !strings.Contains(body, want) {
			return fmt.Errorf("it lacks %s", want)
		}
	}
	return nil
}

func logs(ctx context.Context, t *trial) error {
	if _, err := t.get(ctx, "/port"); err != nil {
		return err
	}
	found := map[string]bool{}
	seen := errors.New("seen")
	err := t.brain.Logs(ctx, t.name, api.LogOptions{Lines: -1, Follow: true}, func(l app.LogLine) error {
		if strings.Contains(l.Text, "/port") {
			found[l.Source] = true
		}
		if found[app.SourceApp] && found[app.SourceRouter] {
			return seen
		}
		return nil
	})
	if errors.Is(err, seen) {
		return nil
	}
	return fmt.Errorf("of the request for /port the log has %d of two lines: %w", len(found), err)
}

func scaleUp(ctx context.Context, t *trial) error {
	if _, err := t.brain.Scale(ctx, t.name, 3); err != nil {
		return err
	}
	if _, err := t.running(ctx, 3); err != nil {
		return err
	}
	answered := map[string]bool{}
	return t.until(ctx, "ask until each has answered", func() error {
		index, err := t.get(ctx, "/index")
		if err != nil {
			return err
		}
		if answered[index] = true; len(answered) < 3 {
			return fmt.Errorf("%d of 3 have", len(answered))
		}
		return nil
	})
}

// tcp asks through a port of the router that it chooses by itself.
func tcp(ctx context.Context, t *trial) error {
	s, err := t.brain.App(ctx, t.name)
	if err != nil {
		return err
	}
	a := s.App
	a.TCPRoutes = []app.TCPRoute{{}}
	if a, err = t.brain.UpdateApp(ctx, a, app.RolloutOptions{}, false); err != nil {
		return err
	}
	host, _, err := net.SplitHostPort(t.Router)
	if err != nil {
		return err
	}
	port := strconv.Itoa(a.TCPRoutes[0].External)
	at := net.JoinHostPort(host, port)
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	return t.atMost(ctx, tcpTime, "ask "+at+" (is there a firewall that closes port "+port+"?)", func() error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+at+"/index", nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("it answered %d", resp.StatusCode)
		}
		return nil
	})
}

func crash(ctx context.Context, t *trial) error {
	before, err := t.brain.App(ctx, t.name)
	if err != nil {
		return err
	}
	if _, err := t.get(ctx, "/exit?code=7"); err != nil {
		return err
	}
	return t.until(ctx, "wait for it", func() error {
		s, err := t.brain.App(ctx, t.name)
		if err != nil {
			return err
		}
		if crashes(s) <= crashes(before) {
			return errors.New("no crash is counted")
		}
		_, err = t.running(ctx, len(before.Instances))
		return err
	})
}

func crashes(s app.Status) (n int) {
	for _, in := range s.Instances {
		n += in.Crashes
	}
	return n
}

func restart(ctx context.Context, t *trial) error {
	before, err := t.running(ctx, 3)
	if err != nil {
		return err
	}
	load := t.startLoad(ctx)
	defer load.stop()
	if _, err := t.brain.Restart(ctx, t.name, 0); err != nil {
		return err
	}
	err = t.until(ctx, "wait for the new container of instance 0", func() error {
		s, err := t.running(ctx, 3)
		if err == nil && s.Instances[0].GUID == before.Instances[0].GUID {
			err = errors.New("it is still the old one")
		}
		return err
	})
	load.stop()
	return errors.Join(err, load.err())
}

func update(ctx context.Context, t *trial) error {
	s, err := t.brain.App(ctx, t.name)
	if err != nil {
		return err
	}
	a := s.App
	a.Env = map[string]string{"LATTICE_TEST": "updated"}
	return t.change(ctx, "updated", func() error {
		_, err := t.brain.UpdateApp(ctx, a, app.RolloutOptions{}, false)
		return err
	})
}

func rollback(ctx context.Context, t *trial) error {
	return t.change(ctx, t.name, func() error {
		_, err := t.brain.Rollback(ctx, t.name, 0)
		return err
	})
}

// change does something that replaces all instances, under load, and waits
// until the app says that its environment is so.
func (t *trial) change(ctx context.Context, value string, do func() error) error {
	load := t.startLoad(ctx)
	defer load.stop()
	if err := do(); err != nil {
		return err
	}
	_, err := t.running(ctx, 3)
	load.stop()
	if err := errors.Join(err, load.err()); err != nil {
		return err
	}
	body, err := t.get(ctx, "/env")
	if err == nil && !strings.Contains(body, "LATTICE_TEST="+value) {
		err = errors.New("the app runs with the other revision's environment")
	}
	return err
}

func route(ctx context.Context, t *trial) error {
	s, err := t.brain.App(ctx, t.name)
	if err != nil {
		return err
	}
	a, second := s.App, t.name+"-second"
	a.Routes = []app.Route{{Host: t.name}, {Host: second}}
	if _, err := t.brain.UpdateApp(ctx, a, app.RolloutOptions{}, false); err != nil {
		return err
	}
	return t.until(ctx, "wait for an answer of "+second, func() error {
		code, body, err := t.ask(ctx, second, "/")
		if err == nil && code != http.StatusOK {
			err = fmt.Errorf("%d: %s", code, body)
		}
		return err
	})
}

func stopAndStart(ctx context.Context, t *trial) error {
	before, err := t.running(ctx, 3)
	if err != nil {
		return err
	}
	if _, err := t.brain.SetStopped(ctx, t.name, true); err != nil {
		return err
	}
	if _, err := t.running(ctx, 0); err != nil {
		return err
	}
	if err := t.answers(ctx, http.StatusServiceUnavailable); err != nil {
		return err
	}
	if _, err := t.brain.SetStopped(ctx, t.name, false); err != nil {
		return err
	}
	after, err := t.running(ctx, 3)
	if err != nil {
		return err
	}
	for i, in := range after.Instances {
		if in.GUID == before.Instances[i].GUID {
			return fmt.Errorf("instance %d was never stopped", in.Index)
		}
	}
	return t.answers(ctx, http.StatusOK)
}

func remove(ctx context.Context, t *trial) error {
	if err := t.brain.RemoveApp(ctx, t.name, false); err != nil {
		return err
	}
	return t.answers(ctx, http.StatusNotFound)
}

// answers waits until the router answers with a status.
func (t *trial) answers(ctx context.Context, want int) error {
	return t.until(ctx, fmt.Sprintf("wait until it answers %d", want), func() error {
		code, _, err := t.ask(ctx, t.name, "/")
		if err == nil && code != want {
			err = fmt.Errorf("it answers %d", code)
		}
		return err
	})
}
