package cells

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"lattice/app"
)

// prober asks instances whether they are healthy, from this process and not
// from inside the container, at most probesAtOnce at a time.
type prober struct {
	runtime Runtime
	slots   chan struct{}
	client  *http.Client
}

func newProber(rt Runtime) *prober {
	return &prober{
		runtime: rt,
		slots:   make(chan struct{}, probesAtOnce),
		client: &http.Client{
			Transport:     &http.Transport{DisableKeepAlives: true},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// probe returns nil when the instance is healthy, else an error that says what
// is wrong in a few words.
func (p *prober) probe(ctx context.Context, a app.App, l Lease) error {
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	timeout := time.Duration(a.Check.Timeout)
	if timeout <= 0 {
		timeout = app.DefaultCheckTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	port := checkPort(a.Check, l)
	switch a.Check.Type {
	case app.CheckHTTP:
		return p.http(ctx, l.IP, port, a.Check.Path)
	case app.CheckCommand:
		return p.command(ctx, l.GUID, a.Check.Command)
	case app.CheckNone:
		return nil
	}
	return p.connect(ctx, l.IP, port)
}

func (p *prober) connect(ctx context.Context, ip netip.Addr, port int) error {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", netip.AddrPortFrom(ip, uint16(port)).String())
	if err != nil {
		return fmt.Errorf("port %d: %s", port, plain(err))
	}
	return c.Close()
}

func (p *prober) http(ctx context.Context, ip netip.Addr, port int, path string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%s%s", netip.AddrPortFrom(ip, uint16(port)), or(path, "/")), nil)
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", "lattice-check")
	resp, err := p.client.Do(req)
	if err != nil {
		return fmt.Errorf("GET %s on port %d: %s", path, port, plain(err))
	}
	defer resp.Body.Close()
	if resp.StatusCode < 200 || resp.StatusCode > 399 {
		return fmt.Errorf("GET %s on port %d: answered %d, wanted 200 to 399", path, port, resp.StatusCode)
	}
	return nil
}

func (p *prober) command(ctx context.Context, guid, command string) error {
	code, output, err := p.runtime.Exec(ctx, guid, []string{"/bin/sh", "-c", command})
	if err != nil {
		return fmt.Errorf("check command: %s", plain(err))
	}
	if code != 0 {
		return fmt.Errorf("check command: exit code %d: %s", code, strings.TrimSpace(output))
	}
	return nil
}

// plain says the cause of a network error without the addresses around it.
func plain(err error) string {
	var timeout net.Error
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, syscall.EHOSTUNREACH):
		return "no route to host"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "no answer in time"
	}
	return err.Error()
}
