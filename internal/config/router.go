package config

import (
	"net/netip"
	"strconv"
	"strings"

	"lattice/app"
)

// Off is what an address is when nothing shall listen there.
const Off = "off"

// RouterConfig is what a router needs.
type RouterConfig struct {
	HTTP  string // "ip:port"; empty: port 80 when it may and it is free, else 8080
	HTTPS string // "ip:port"; empty: port 443 or 8443 where one of them is free; Off: none

	Certificates []CertificateFile // go before all others
	Folder       string            // with more of them; empty: none
	ACMEURL      string            // of a directory; empty: no ACME
	ACMEEmail    string
	ACMERoots    string // file with the CAs of the directory's server; empty: those of the host

	Trusted       []netip.Prefix // proxies that are believed about the client
	ProxyProtocol bool           // they begin connections with its header

	FirstTCPPort, LastTCPPort int // for TCP routes that name no port; 0 on a cell

	AccessLog    bool   // a line in an app's log for each request
	AccessFormat string // of the access log; empty: lattice's own
	Metrics      string // "ip:port" of the router's metrics; empty: none
	ErrorPages   string // folder; empty: plain text
}

// A CertificateFile is a certificate with its chain and its key, both in PEM.
type CertificateFile struct{ Cert, Key string }

// routerOptions are the options of a router.
func routerOptions() []option {
	const roles = roleAll
	return []option{
		{key: "http", roles: roles, def: "", auto: ":80 if free and allowed, else :8080", usage: "`[ip]:port` of the router"},
		{key: "https", roles: roles, def: "", auto: ":443 if free and allowed, else :8443, else none", usage: "`[ip]:port` of the router for HTTPS, or off"},
		{key: "tls-cert", roles: roles, def: []string(nil), usage: "`file` with a certificate and its chain; may be repeated, each with its --tls-key"},
		{key: "tls-key", roles: roles, def: []string(nil), usage: "`file` with the key of the --tls-cert in the same place"},
		{key: "tls-folder", roles: roles, def: "", auto: "none", usage: "`folder` with certificates as NAME.crt and NAME.key, or NAME/fullchain.pem and NAME/privkey.pem; it is read again when it changes"},
		{key: "acme-url", roles: roles, def: "", auto: "no ACME", usage: "`URL` of an ACME directory that gives certificates for hosts with a route, such as https://acme-v02.api.letsencrypt.org/directory; to use it is to agree to its terms"},
		{key: "acme-email", roles: roles, def: "", auto: "none", usage: "`address` that the ACME directory may write to"},
		{key: "acme-ca", roles: roles, def: "", auto: "those of this host", usage: "`file` with the CA certificates to trust for the ACME directory itself"},
		{key: "trusted-proxies", roles: roles, def: []string(nil), usage: "`network` of proxies in front of the router, as 10.0.0.0/8: only they are believed in X-Forwarded-For, -Host, -Proto and Forwarded; may be repeated"},
		{key: "proxy-protocol", roles: roles, def: false, usage: "connections of the trusted proxies, or all if there are none, begin with a header of the PROXY protocol, version 1 or 2"},
		{key: "tcp-ports", roles: roleBrain | roleUp, def: "20000-20999", usage: "`range` of ports for TCP routes that name none"},
		{key: "access-log", roles: roles, def: true, usage: "a line in an app's log for each request to it"},
		{key: "access-log-format", roles: roles, def: "", auto: "lattice's own", usage: "`format` of the lines about requests: json, combined, or text with {client} {method} {host} {target} {proto} {code} {sent} {took} {index} {addr} {referer} {agent} {forwarded_for} {request_id} {time}, and of TCP routes {received} {failure}"},
		{key: "error-pages", roles: roles, def: "", auto: "plain text", usage: "`folder` with pages for the router's own errors: 503.html, 5xx.html or error.html, with {status} {reason} {cause} {request_id} in them"},
		{key: "metrics", roles: roles, def: "", auto: "no metrics", usage: "`[ip]:port` to serve the router's metrics on, at /metrics, for Prometheus; anybody who reaches it can read them"},
	}
}

func (r *reader) router() RouterConfig {
	c := RouterConfig{
		HTTP:    r.listen("http", true),
		Folder:  r.dir("tls-folder"),
		ACMEURL: r.text("acme-url"), ACMEEmail: r.text("acme-email"), ACMERoots: r.dir("acme-ca"),
		ProxyProtocol: r.truth("proxy-protocol"),
		AccessLog:     r.truth("access-log"),
		AccessFormat:  r.text("access-log-format"),
		Metrics:       r.listen("metrics", true),
		ErrorPages:    r.dir("error-pages"),
	}
	if r.role != roleCell {
		c.FirstTCPPort, c.LastTCPPort = r.ports("tcp-ports")
	}
	if c.HTTPS = r.text("https"); c.HTTPS != Off {
		c.HTTPS = r.listen("https", true)
	}
	r.distinct("https", c.HTTPS, "http", c.HTTP)
	r.distinct("metrics", c.Metrics, "http", c.HTTP)
	r.distinct("metrics", c.Metrics, "https", c.HTTPS)
	certs, keys := r.list("tls-cert"), r.list("tls-key")
	if len(certs) != len(keys) {
		r.wrong("tls-cert", "there are %d certificates and %d keys: give each --tls-cert its --tls-key", len(certs), len(keys))
		return c
	}
	for i := range certs {
		c.Certificates = append(c.Certificates, CertificateFile{certs[i], keys[i]})
	}
	if c.ACMEURL == "" && (c.ACMEEmail != "" || c.ACMERoots != "") {
		r.wrong("acme-url", "there is something for ACME, but no directory: give --acme-url")
	}
	for _, text := range r.list("trusted-proxies") {
		p, err := app.ParsePrefix(text)
		if err != nil {
			r.wrong("trusted-proxies", "%s", err)
		}
		c.Trusted = append(c.Trusted, p)
	}
	return c
}

// ports reads a range of ports.
func (r *reader) ports(key string) (first, last int) {
	from, to, ok := strings.Cut(r.text(key), "-")
	first, err := strconv.Atoi(from)
	last, err2 := strconv.Atoi(to)
	if !ok || err != nil || err2 != nil || first < 1 || last > 65535 || first > last {
		r.wrong(key, "%q is no range of ports; write it like 20000-20999", r.text(key))
	}
	return first, last
}
