package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"lattice/api"
	"lattice/app"
)

// lattice is a brain and three cells.
type lattice struct {
	*lab
	procs  []*exec.Cmd
	client *api.Client
}

func (*lattice) name() string { return "lattice" }
func (l *lattice) cell() int  { return l.procs[1].Process.Pid }

func (l *lattice) up() error {
	brain := l.hosts["brain"]
	p, err := brain.background("is ready", "bin/lattice", "brain")
	if p != nil {
		l.procs = append(l.procs, p)
	}
	if err != nil {
		return err
	}
	token, err := brain.run("bin/lattice", "token")
	if err != nil {
		return err
	}
	file := filepath.Join(l.dir, "token")
	if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
		return err
	}
	for _, name := range []string{"c1", "c2", "c3"} {
		p, err := l.hosts[name].background("is ready", "bin/lattice", "cell", "--join", brain.addr, "--token-file", file)
		if p != nil {
			l.procs = append(l.procs, p)
		}
		if err != nil {
			return err
		}
	}
	if _, err := brain.run("bin/lattice", "registry", "add", l.hosts["reg"].addr+":5000", "--plain-http", "--no-check"); err != nil {
		return err
	}
	return l.connect(brain)
}

func (l *lattice) connect(brain *host) error {
	var file struct {
		Targets map[string]struct{ URL, Token, CA string }
	}
	b, err := os.ReadFile(filepath.Join(brain.dir, "home", ".lattice", "config.json"))
	if err == nil {
		err = json.Unmarshal(b, &file)
	}
	if err != nil {
		return err
	}
	t := file.Targets["default"]
	addr, err := brain.relay(strings.TrimPrefix(t.URL, "https://"))
	if err != nil {
		return err
	}
	l.client, err = api.NewClient(api.ClientConfig{URL: "https://" + addr, Token: t.Token, CA: t.CA})
	return err
}

var errPulled = errors.New("pulled")

func (l *lattice) pull(image string, hosts int) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	began := time.Now()
	a := app.App{Name: "bench", Image: image, Instances: hosts, MemoryMB: 32, Rules: app.Rules{OnePerCell: true}}
	if _, err := l.client.CreateApp(ctx, a); err != nil {
		return 0, err
	}
	err := l.client.WatchApp(ctx, "bench", func(s app.Status) error {
		done := 0
		for _, in := range s.Instances {
			switch {
			case in.Cause == app.CauseImage:
				return errors.New(in.Reason)
			case in.Crashes > 0 || in.State == app.Crashed:
				done++
			}
		}
		if done == hosts {
			return errPulled
		}
		return nil
	})
	if !errors.Is(err, errPulled) {
		return 0, err
	}
	return time.Since(began), nil
}

func (l *lattice) forget(string, int) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	err := l.client.RemoveApp(ctx, "bench", false)
	for err == nil {
		if _, err = l.client.App(ctx, "bench"); err == nil {
			time.Sleep(50 * time.Millisecond)
		}
	}
	if !errors.Is(err, app.ErrNotFound) {
		return err
	}
	_, err = l.client.PruneImages(ctx, api.PruneRequest{})
	for _, name := range []string{"c1", "c2", "c3"} {
		for err == nil {
			left, _ := filepath.Glob(filepath.Join(l.hosts[name].dir, "data/cell/containerd/io.containerd.content.v1.content/blobs/sha256/*"))
			if len(left) == 0 {
				break
			}
			if err = ctx.Err(); err == nil {
				time.Sleep(50 * time.Millisecond)
			}
		}
	}
	return err
}

func (l *lattice) down() {
	for _, name := range []string{"c1", "c2", "c3", "brain"} {
		if _, err := l.hosts[name].run("bin/lattice", "down", "--delete-data"); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
	for _, p := range l.procs {
		p.Wait()
	}
}

// ctr is a containerd on each host, with its command line.
type ctr struct {
	*lab
	procs []*exec.Cmd
}

const containerdVersion = "v2.4.2" // the one in go.mod

func (*ctr) name() string             { return "ctr" }
func (c *ctr) cell() int              { return c.procs[0].Process.Pid }
func (c *ctr) bin(name string) string { return filepath.Join(c.dir, "bin", name) }
func (c *ctr) socket(h *host) string  { return filepath.Join(h.dir, "containerd.sock") }

func (c *ctr) up() error {
	// go install builds them with containerd's own go.mod, not with ours.
	install := exec.Command("go", "install", "github.com/containerd/containerd/v2/cmd/containerd@"+containerdVersion, "github.com/containerd/containerd/v2/cmd/ctr@"+containerdVersion)
	install.Env = append(os.Environ(), "CGO_ENABLED=0", "GOBIN="+filepath.Join(c.dir, "bin"))
	if out, err := install.CombinedOutput(); err != nil {
		return fmt.Errorf("build containerd and ctr: %w: %s", err, out)
	}
	for _, name := range []string{"c1", "c2", "c3"} {
		h := c.hosts[name]
		config := filepath.Join(h.dir, "containerd.toml")
		text := fmt.Sprintf("version = 3\nroot = %q\nstate = %q\n[grpc]\naddress = %q\n", filepath.Join(h.dir, "ctr-root"), filepath.Join(h.dir, "ctr-state"), c.socket(h))
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			return err
		}
		p, err := h.background("containerd successfully booted", c.bin("containerd"), "-c", config)
		if p != nil {
			c.procs = append(c.procs, p)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// all runs ctr on so many hosts at once.
func (c *ctr) all(hosts int, args ...string) error {
	errs := make([]error, hosts)
	var wg sync.WaitGroup
	for i := range hosts {
		h := c.hosts[fmt.Sprint("c", i+1)]
		wg.Go(func() { _, errs[i] = h.run(c.bin("ctr"), append([]string{"-a", c.socket(h)}, args...)...) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (c *ctr) pull(image string, hosts int) (time.Duration, error) {
	began := time.Now()
	err := c.all(hosts, "images", "pull", "--plain-http", image)
	return time.Since(began), err
}

func (c *ctr) forget(image string, hosts int) error {
	return c.all(hosts, "images", "rm", "--sync", image)
}

func (c *ctr) down() {
	for _, p := range c.procs {
		p.Process.Signal(os.Interrupt)
		p.Wait()
	}
}
