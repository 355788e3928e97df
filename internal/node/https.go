package node

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"syscall"

	"lattice/internal/config"
	"lattice/internal/pki"
	"lattice/router/certs"
)

// secured is the router's part for HTTPS.
type secured struct {
	ln    net.Listener // nil: there is none
	ca    *pki.AppsCA
	certs *certs.Certs
}

// openHTTPS binds the port and finds the certificates. It comes after openHTTP.
func (b *brain) openHTTPS(dir string) (err error) {
	if b.https.ca, err = pki.OpenAppsCA(dir, b.cfg.Domain); err != nil {
		return err
	}
	note := ""
	if b.https.ln, note, err = b.listenHTTPS(b.cfg.Router.HTTPS); err != nil {
		return err
	}
	if b.note != "" && note != "" {
		b.note += "\n"
	}
	b.note += note
	if b.https.ln == nil {
		return nil
	}
	cfg := certs.Config{Own: b.https.ca.Certificate, Folder: b.cfg.Router.Folder, Log: b.log.With("part", "certificates")}
	for _, f := range b.cfg.Router.Certificates {
		cfg.Files = append(cfg.Files, certs.Pair(f))
	}
	if b.cfg.Router.ACMEURL != "" {
		if cfg.ACME, err = b.acme(filepath.Join(dir, "acme")); err != nil {
			return err
		}
	}
	b.https.certs, err = certs.New(cfg)
	return err
}

func (b *brain) acme(dir string) (*certs.ACME, error) {
	var roots *x509.CertPool
	if file := b.cfg.Router.ACMERoots; file != "" {
		var err error
		if roots, err = certs.ReadRoots(file); err != nil {
			return nil, fmt.Errorf("the CAs of the ACME directory: %w", err)
		}
	}
	return &certs.ACME{
		URL: b.cfg.Router.ACMEURL, Email: b.cfg.Router.ACMEEmail, Roots: roots, Dir: dir,
		HTTPPort: number(b.httpLn), HTTPSPort: number(b.https.ln),
		Routed: func(host string) bool { return b.router.Routes(host) },
	}, nil
}

// listenHTTPS binds the router's port for HTTPS. When none is configured it is
// 443, or 8443 where that is taken or not allowed, or none at all, on the
// address of plain HTTP; note says so.
func (b *brain) listenHTTPS(addr string) (ln net.Listener, note string, err error) {
	if addr == config.Off {
		return nil, "", nil
	}
	if addr != "" {
		if ln, err = b.sockets.Listen("https", addr); err != nil {
			return nil, "", fmt.Errorf("the router can't listen on %s for HTTPS: %w", addr, err)
		}
		return ln, "", nil
	}
	host, _, _ := net.SplitHostPort(b.cfg.HTTP) // it may be empty
	ln, err = b.sockets.Listen("https-443", net.JoinHostPort(host, "443"))
	if err == nil {
		return ln, "", nil
	}
	why := "in use"
	if errors.Is(err, syscall.EACCES) {
		why = "not allowed"
	}
	if ln, err = b.sockets.Listen("https-8443", net.JoinHostPort(host, "8443")); err != nil {
		return nil, "port 443 is " + why + " and 8443 in use, so there is no HTTPS: choose a port with --https, or --https off", nil
	}
	return ln, "port 443 is " + why + ", so HTTPS is on port 8443", nil
}

// serveHTTPS waits for the table as serveApps does.
func (b *brain) serveHTTPS(ctx context.Context) error {
	b.waitForTable(ctx)
	return b.router.ServeTLS(ctx, b.https.ln, b.https.certs.TLSConfig(), drain)
}

// httpsURL returns the URL of the domain; "" without HTTPS.
func (b *brain) httpsURL() string {
	switch {
	case b.https.ln == nil:
		return ""
	case port(b.https.ln) == "443":
		return "https://" + b.cfg.Domain
	}
	return "https://" + b.cfg.Domain + ":" + port(b.https.ln)
}

func number(ln net.Listener) int {
	n, _ := strconv.Atoi(port(ln))
	return n
}
