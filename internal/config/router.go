package config

import (
	"net/netip"
	"strconv"
	"strings"

	"lattice/app"
)

// Off is what an address is when nothing shall listen there.
const Off = "off"

// RouterConfig is what a router needs beside the address for plain HTTP.
type RouterConfig struct {
	HTTPS string // "ip:port"; empty: port 443 or 8443 where one of them is free; Off: none

	Certificates []CertificateFile // go before all others
	Folder       string            // with more of them; empty: none
	ACMEURL      string            // of a directory; empty: no ACME
	ACMEEmail    string
	ACMERoots    string // file with the CAs of the directory's server; empty: those of the host

	Trusted       []netip.Prefix // proxies that are believed about the client
	ProxyProtocol bool           // they begin connections with its header

	FirstTCPPort, LastTCPPort int // for TCP routes that name no port

	AccessFormat string // of the access log; empty: lattice's own
	ErrorPages   string // folder; empty: plain text
}

// A CertificateFile is a certificate with its chain and its key, both in PEM.
type CertificateFile struct{ Cert, Key string }

// routerOptions are the options of a router.
func routerOptions(roles role) []option {
	return []option{
		{key: "https", roles: roles, def: "", auto: ":443 if free and allowed, else :8443, else none", usage: "`[ip]:port` of the router for HTTPS, or off"},
		{key: "tls-cert", roles: roles, def: []string(nil), usage: "`file` with a certificate and its chain; may be repeated, each with its --tls-key"},
		{key: "tls-key", roles: roles, def: []string(nil), usage: "`file` with the key of the --tls-cert in the same place"},
		{key: "tls-folder", roles: roles, def: "", auto: "none", usage: "`folder` with certificates as NAME.crt and NAME.key, or NAME/fullchain.pem and NAME/privkey.pem; it is read again when it changes"},
		{key: "acme-url", roles: roles, def: "", auto: "no ACME", usage: "`URL` of an ACME directory that gives certificates for hosts with a route, such as https://acme-v02.api.letsencrypt.org/directory; to use it is to agree to its terms"},
		{key: "acme-email", roles: roles, def: "", auto: "none", usage: "`address` that the ACME directory may write to"},
		{key: "acme-ca", roles: roles, def: "", auto: "those of this host", usage: "`file` with the CA certificates to trust for the ACME directory itself"},
		{key: "trusted-proxies", roles: roles, def: []string(nil), usage: "`network` of proxies in front of the router, as 10.0.0.0/8: only they are believed in X-Forwarded-For, -Host, -Proto and Forwarded; may be repeated"},
		{key: "proxy-protocol", roles: roles, def: false, usage: "connections of the trusted proxies, or all if there are none, begin with a header of the PROXY protocol, version 1 or 2"},
		{key: "tcp-ports", roles: roles, def: "20000-20999", usage: "`range` of ports for TCP routes that name none"},
		{key: "access-log-format", roles: roles, def: "", auto: "lattice's own", usage: "`format` of the lines about requests: json, combined, or text with {client} {method} {host} {target} {proto} {code} {sent} {took} {index} {addr} {referer} {agent} {forwarded_for} {request_id} {time}"},
		{key: "error-pages", roles: roles, def: "", auto: "plain text", usage: "`folder` with pages for the router's own errors: 503.html, 5xx.html or error.html, with {status} {reason} {cause} {request_id} in them"},
	}
}

func (r *reader) router() RouterConfig {
	c := RouterConfig{
		Folder:  r.dir("tls-folder"),
		ACMEURL: r.text("acme-url"), ACMEEmail: r.text("acme-email"), ACMERoots: r.dir("acme-ca"),
		ProxyProtocol: r.truth("proxy-protocol"),
		AccessFormat:  r.text("access-log-format"),
		ErrorPages:    r.dir("error-pages"),
	}
	c.FirstTCPPort, c.LastTCPPort = r.ports("tcp-ports")
	if c.HTTPS = r.text("https"); c.HTTPS != Off {
		c.HTTPS = r.listen("https", true)
	}
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
