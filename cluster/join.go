package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"

	"lattice/app"
)

// maxDials is how many addresses are tried at a time.
const maxDials = 8

// Join meets the nodes at addrs ("host:port"), and through them all others. One
// that answers is enough. The addresses are remembered and tried again whenever
// this node is alone, even if Join fails. It is app.ErrExists when another node
// of this name is alive. Join may take two seconds longer than ctx.
func (c *Cluster) Join(ctx context.Context, addrs []string) error {
	c.roster.ask(addrs)
	if err := c.contact(ctx, addrs); err != nil {
		return err
	}
	if twin := c.roster.claimed(); twin != "" && c.alive(c.name, twin) {
		return fmt.Errorf("a node named %q is alive at %s already; give this one another name: %w", c.name, twin, app.ErrExists)
	}
	return nil
}

// contact exchanges states with the nodes at addrs and fails if none answers.
func (c *Cluster) contact(ctx context.Context, addrs []string) error {
	found, err := lookup(ctx, addrs)
	found = slices.DeleteFunc(found, func(a string) bool { return a == c.addr })
	errs := make([]error, len(found))
	slots := make(chan struct{}, maxDials)
	var dials sync.WaitGroup
	for i, a := range found {
		dials.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			if errs[i] = ctx.Err(); errs[i] == nil {
				_, errs[i] = c.list.Join([]string{a})
			}
		})
	}
	dials.Wait()
	if slices.Contains(errs, nil) {
		return nil
	}
	for i, e := range errs {
		err = errors.Join(err, explain(found[i], e))
	}
	if err == nil {
		return app.Invalid("no address of another node to join")
	}
	return fmt.Errorf("join the cluster: %w", err)
}

// explain peels off what memberlist wraps around an error, as text only, and
// says what its words for a wrong key or label mean.
func explain(addr string, err error) error {
	text := err.Error()
	if _, inner, ok := strings.Cut(text, "failed to join "+addr+": "); ok {
		text = strings.TrimSpace(inner)
	}
	for _, sign := range []string{"could decrypt", "EOF", "connection reset"} {
		if strings.Contains(text, sign) {
			return fmt.Errorf("%s: refused us, it belongs to another cluster or has another gossip key (%s)", addr, text)
		}
	}
	return fmt.Errorf("%s: %s", addr, text)
}

// alive reports whether a node of that name, and not this process, answers at
// addr.
func (c *Cluster) alive(name, addr string) bool {
	ap, err := netip.ParseAddrPort(addr)
	if err != nil || c.mine(ap) {
		return false
	}
	_, err = c.list.Ping(name, net.UDPAddrFromAddrPort(ap))
	return err == nil
}

// mine reports whether addr is another address of this very node.
func (c *Cluster) mine(addr netip.AddrPort) bool {
	_, port, err := splitHostPort(c.addr)
	if err != nil || int(addr.Port()) != port {
		return false
	}
	locals, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	return slices.ContainsFunc(locals, func(a net.Addr) bool {
		p, err := netip.ParsePrefix(a.String())
		return err == nil && p.Addr() == addr.Addr().Unmap()
	})
}

// lookup turns host names into addresses, within ctx, which memberlist's own
// look-up does not heed.
func lookup(ctx context.Context, addrs []string) (found []string, err error) {
	for _, a := range addrs {
		host, port, e := splitHostPort(a)
		if e != nil {
			err = errors.Join(err, app.Invalid("%q: %v; write it as host:port", a, e))
			continue
		}
		ips, e := net.DefaultResolver.LookupHost(ctx, host)
		if e != nil {
			err = errors.Join(err, e)
			continue
		}
		for _, ip := range ips {
			found = append(found, net.JoinHostPort(ip, strconv.Itoa(port)))
		}
	}
	return unique(found), err
}
