package cells

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"time"

	"lattice/app"
)

// prober asks instances how they are, from this process and not from inside the
// container save for commands. At most probesAtOnce are begun at a time, and of
// commands execsAtOnce. One that is slow gives its place to the next: instances
// that hang must not keep the others from being asked.
type prober struct {
	runtime Runtime
	slots   chan struct{}
	execs   chan struct{}
	client  *http.Client
}

func newProber(rt Runtime) *prober {
	return &prober{
		runtime: rt,
		slots:   make(chan struct{}, probesAtOnce),
		execs:   make(chan struct{}, execsAtOnce),
		client: &http.Client{
			Transport:     &http.Transport{DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// probe returns nil when the check passes, else an error that says what is
// wrong in a few words.
func (p *prober) probe(ctx context.Context, c app.Check, l Lease) error {
	if c.Type == app.CheckNone {
		return nil
	}
	done, err := p.begin(ctx, c.Type)
	if err != nil {
		return err
	}
	defer done()
	timeout := time.Duration(c.Timeout)
	if timeout <= 0 {
		timeout = app.DefaultCheckTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	switch c.Type {
	case app.CheckHTTP:
		return p.http(ctx, l.IP, checkPort(c, l), c)
	case app.CheckCommand:
		return p.command(ctx, l.GUID, c.Command)
	}
	return p.connect(ctx, l.IP, checkPort(c, l))
}

// begin waits for a place. done gives it back; after slowProbe it is given back
// anyway.
func (p *prober) begin(ctx context.Context, t app.CheckType) (done func(), err error) {
	slots := p.slots
	if t == app.CheckCommand {
		slots = p.execs
	}
	select {
	case slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	free := sync.OnceFunc(func() { <-slots })
	timer := time.AfterFunc(slowProbe, free)
	return func() { timer.Stop(); free() }, nil
}

func (p *prober) connect(ctx context.Context, ip netip.Addr, port int) error {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", netip.AddrPortFrom(ip, uint16(port)).String())
	if err != nil {
		return fmt.Errorf("port %d: %s", port, plain(err))
	}
	return c.Close()
}

func (p *prober) http(ctx context.Context, ip netip.Addr, port int, c app.Check) error {
	accepted, err := app.ParseStatuses(c.Statuses)
	if err != nil {
		return err
	}
	path := or(c.Path, "/")
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%s%s", netip.AddrPortFrom(ip, uint16(port)), path), nil)
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", "lattice-check")
	resp, err := p.client.Do(req)
	if err != nil {
		return fmt.Errorf("GET %s on port %d: %s", path, port, plain(err))
	}
	defer resp.Body.Close()
	if !accepted.Has(resp.StatusCode) {
		return fmt.Errorf("GET %s on port %d: answered %d, wanted %s", path, port, resp.StatusCode, accepted)
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
