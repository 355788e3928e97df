package app

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// MaxIdleTimeout bounds TCPRoute.IdleTimeout.
const MaxIdleTimeout = 7 * 24 * time.Hour

// A TCPRoute leads connections to a port of the router to one port of an app.
type TCPRoute struct {
	External      int      `json:"external"`                 // port of the router, of one app only unless all have an SNI; 0: any that is free, which the brain puts here
	Port          int      `json:"port,omitempty"`           // 0: the primary port
	SNI           string   `json:"sni,omitempty"`            // clients begin with TLS and want this name, lower case; "*.x.y" is any below x.y. Several routes may have a port, each with its own. Empty: all connections of the port
	ProxyProtocol bool     `json:"proxy_protocol,omitempty"` // connections to the app begin with a header of the PROXY protocol, version 2
	IdleTimeout   Duration `json:"idle_timeout,omitempty"`   // a connection ends when no byte came or went for so long; 0: never
}

// A TCPAddress is where a TCP route can be reached.
type TCPAddress struct {
	Address string `json:"address"`           // host:port
	SNI     string `json:"sni,omitempty"`     // the name that clients must ask for by TLS
	Port    int    `json:"port,omitempty"`    // of the app; 0: the primary one
	Problem string `json:"problem,omitempty"` // why it can't
}

// ParseTCPRoute reads EXTERNAL[:PORT][,sni=NAME][,proxy-protocol][,idle-timeout=TIME], where
// EXTERNAL may be auto. Errors are ErrInvalid.
func ParseTCPRoute(text string) (TCPRoute, error) {
	wrong := func() (TCPRoute, error) {
		return TCPRoute{}, Invalid("%s is no TCP route: write EXTERNAL[:PORT][,sni=NAME][,proxy-protocol][,idle-timeout=TIME], as 6379, 5432:5432 or auto:6379,idle-timeout=1h", quote(text))
	}
	ports, options, _ := strings.Cut(text, ",")
	external, port, named := strings.Cut(ports, ":")
	var r TCPRoute
	var err error
	if external != "auto" {
		if r.External, err = strconv.Atoi(external); err != nil {
			return wrong()
		}
	}
	if named {
		if r.Port, err = strconv.Atoi(port); err != nil || r.Port == 0 {
			return wrong()
		}
	}
	for option := range strings.SplitSeq(options, ",") {
		key, value, _ := strings.Cut(option, "=")
		switch {
		case options == "":
		case option == "proxy-protocol":
			r.ProxyProtocol = true
		case key == "sni" && value != "":
			r.SNI = strings.ToLower(value)
		case key == "idle-timeout":
			if err := r.IdleTimeout.UnmarshalText([]byte(value)); err != nil {
				return TCPRoute{}, err
			}
		default:
			return wrong()
		}
	}
	return r, nil
}

// Options returns the options as ParseTCPRoute reads them.
func (r TCPRoute) Options() []string {
	var all []string
	if r.SNI != "" {
		all = append(all, "sni="+r.SNI)
	}
	if r.ProxyProtocol {
		all = append(all, "proxy-protocol")
	}
	if r.IdleTimeout != 0 {
		all = append(all, "idle-timeout="+r.IdleTimeout.String())
	}
	return all
}

// Clashes reports whether r and o can't be on one router.
func (r TCPRoute) Clashes(o TCPRoute) bool {
	return r.External == o.External && (r.SNI == "" || r.SNI == o.SNI || o.SNI == "")
}

// String writes r as ParseTCPRoute reads it.
func (r TCPRoute) String() string {
	text := "auto"
	if r.External != 0 {
		text = strconv.Itoa(r.External)
	}
	if r.Port != 0 {
		text += ":" + strconv.Itoa(r.Port)
	}
	return strings.Join(append([]string{text}, r.Options()...), ",")
}

func (p *problems) tcpRoutes(a App) {
	if len(a.TCPRoutes) > MaxRoutes {
		p.add("there are %d TCP routes: at most %d are possible", len(a.TCPRoutes), MaxRoutes)
		return
	}
	for i, r := range a.TCPRoutes {
		what := "the TCP route " + quote(r.String())
		if r.External < 0 || r.External > 65535 {
			p.add("%s is on port %d, which does not exist: ports are 1 to 65535, and 0 or auto is any that is free", what, r.External)
		}
		p.portOf(what, r.Port, a.Ports)
		if r.IdleTimeout < 0 || time.Duration(r.IdleTimeout) > MaxIdleTimeout {
			p.add("the idle timeout of %s must be at least 0s and at most %s", what, MaxIdleTimeout)
		}
		if r.SNI != "" && (!isHost(strings.TrimPrefix(r.SNI, "*.")) || len(r.SNI) > maxHostBytes) {
			p.add("%s has a name that is no host name in lower case, such as db.example.com or *.example.com", what)
		}
		if r.External != 0 && slices.ContainsFunc(a.TCPRoutes[:i], r.Clashes) {
			p.add("%s is on a port that another one of the app has: a port can lead to one port only, unless all its routes have an sni of their own", what)
		}
	}
}
