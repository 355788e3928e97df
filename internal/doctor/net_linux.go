package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"lattice/app"
)

func forwarding(cfg HostConfig) app.Finding {
	on, err := readNumber("/proc/sys/net/ipv4/ip_forward")
	switch {
	case err != nil:
		return unknown("ip_forward", "can't be read: %v", err)
	case on == 1:
		return ok("ip_forward", "is on")
	case cfg.PID != 0:
		return broken("ip_forward", "sysctl net.ipv4.ip_forward=1, and find out what switches it off", "is off though lattice runs: instances reach nothing beyond this host")
	}
	return ok("ip_forward", "is off: a cell switches it on when it starts")
}

// port says whether lattice can have an address. It is enough for it to be free
// at this moment, or lattice's.
func port(l Listen, pid int) app.Finding {
	check := "port " + l.Addr + "/" + l.Network
	err := tryListen(l)
	switch {
	case err == nil && pid != 0:
		return ok(check, "is free: the lattice that runs has another address for %s, or none", l.What)
	case err == nil:
		return ok(check, "is free for %s", l.What)
	case errors.Is(err, syscall.EACCES):
		return unknown(check, "only root can try it")
	case !errors.Is(err, syscall.EADDRINUSE):
		return broken(check, "choose another address with its flag", "can't be used for %s: %v", l.What, err)
	}
	holders := listeners(l)
	switch {
	case len(holders) == 0:
		return unknown(check, "somebody has it, but who can't be seen: it is wanted for %s", l.What)
	case pid != 0 && holders[pid] != "":
		return ok(check, "lattice listens there for %s", l.What)
	}
	for other, name := range holders {
		if l.Else != "" {
			return warning(check, fmt.Sprintf("stop %s if that is not enough", name), "process %d (%s) has it, so %s %s", other, name, l.What, l.Else)
		}
		return broken(check, fmt.Sprintf("stop %s, or choose another address with its flag", name), "process %d (%s) has it: it is wanted for %s", other, name, l.What)
	}
	return ok(check, "is free for %s", l.What)
}

func tryListen(l Listen) error {
	if l.Network == "udp" {
		c, err := net.ListenPacket("udp", l.Addr)
		if err == nil {
			c.Close()
		}
		return err
	}
	ln, err := net.Listen("tcp", l.Addr)
	if err == nil {
		ln.Close()
	}
	return err
}

// listeners returns the names of the processes that have the port, by their IDs.
func listeners(l Listen) map[int]string {
	_, text, err := net.SplitHostPort(l.Addr)
	if err != nil {
		return nil
	}
	number, err := strconv.Atoi(text)
	if err != nil {
		return nil
	}
	sockets := map[string]bool{}
	for _, version := range []string{"", "6"} {
		data, _ := os.ReadFile("/proc/net/" + l.Network + version) // not there without IPv6
		for line := range strings.Lines(string(data)) {
			f := strings.Fields(line)
			if len(f) > 9 && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", number)) && (l.Network == "udp" || f[3] == "0A") { // LISTEN
				sockets["socket:["+f[9]+"]"] = true
			}
		}
	}
	found := map[int]string{}
	fds, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err == nil && sockets[to] {
			dir := filepath.Dir(filepath.Dir(fd))
			pid, _ := strconv.Atoi(filepath.Base(dir))
			name, _ := os.ReadFile(filepath.Join(dir, "comm"))
			found[pid] = strings.TrimSpace(string(name))
		}
	}
	return found
}

// names looks an app's name up as other programs on this host do.
func names(ctx context.Context, domain string) app.Finding {
	check := "names of " + domain
	if domain == "localhost" || strings.HasSuffix(domain, ".localhost") {
		return ok(check, "are for this machine only; curl and browsers know by themselves where they lead")
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	addrs, err := net.DefaultResolver.LookupHost(ctx, "lattice-doctor."+domain)
	if err == nil {
		return ok(check, "lead to %s", strings.Join(addrs, ", "))
	}
	return warning(check, fmt.Sprintf("let *.%s lead to the router's address in your DNS, or give names to /etc/hosts", domain),
		"are not known here: nobody finds apps by their names (%v)", err)
}
