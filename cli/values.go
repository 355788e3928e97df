package cli

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"lattice/app"
)

// megabytes is a flag in MiB; it also reads 512M and 1G.
type megabytes int

func (m *megabytes) String() string { return strconv.Itoa(int(*m)) }
func (m *megabytes) Type() string   { return "MB" }

// Set implements pflag.Value.
func (m *megabytes) Set(s string) error {
	const most = 1 << 30 // MiB, that is 1 PiB
	number := strings.ToUpper(strings.TrimSpace(s))
	number = strings.TrimSuffix(strings.TrimSuffix(number, "B"), "I")
	unit := 1.0
	switch {
	case strings.HasSuffix(number, "G"):
		unit = 1024
		number = strings.TrimSuffix(number, "G")
	default:
		number = strings.TrimSuffix(number, "M")
	}
	v, err := strconv.ParseFloat(number, 64)
	mb := v * unit
	if err != nil || !(mb >= 0 && mb <= most) || mb != math.Trunc(mb) {
		return fmt.Errorf("must be a whole number of MiB, or such as 512M or 1G")
	}
	*m = megabytes(mb)
	return nil
}

// portList is a flag with ports, separated by commas or repeated.
type portList []int

func (l *portList) String() string { return "" }
func (l *portList) Type() string   { return "PORTS" }

// Set implements pflag.Value.
func (l *portList) Set(s string) error {
	for text := range strings.SplitSeq(s, ",") {
		port, err := parsePort(strings.TrimSpace(text))
		if err != nil {
			return err
		}
		*l = append(*l, port)
	}
	return nil
}

// parsePort reads a TCP port.
func parsePort(s string) (int, error) {
	port, err := strconv.ParseUint(s, 10, 16)
	if err != nil || port == 0 {
		return 0, fmt.Errorf("%q is not a port: must be 1 to 65535", s)
	}
	return int(port), nil
}

// parseRoute reads HOST[/PATH][:PORT], or with the port behind the host.
func parseRoute(s string) (app.Route, error) {
	host, path, hasPath := strings.Cut(s, "/")
	r := app.Route{}
	var err error
	if host, r.Port, err = cutPort(host, r.Port); err != nil {
		return r, fmt.Errorf("the route %q: %w", s, err)
	}
	if hasPath {
		if path, r.Port, err = cutPort(path, r.Port); err != nil {
			return r, fmt.Errorf("the route %q: %w", s, err)
		}
		r.Path = "/" + path
	}
	if host == "" {
		return r, fmt.Errorf("the route %q: the host is missing: write HOST[/PATH][:PORT]", s)
	}
	r.Host = strings.ToLower(host)
	return r, nil
}

// cutPort takes the port off the end of s. There may be only one in a route.
func cutPort(s string, before int) (rest string, port int, err error) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return s, before, nil
	}
	if before != 0 {
		return "", 0, fmt.Errorf("there is more than one port")
	}
	port, err = parsePort(s[i+1:])
	return s[:i], port, err
}
