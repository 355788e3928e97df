package node

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"syscall"

	"lattice/internal/config"
	"lattice/internal/systemd"
	"lattice/router/certs"
)

// openCertificates finds the certificates for HTTPS.
func (f *front) openCertificates(dir string, own func(name string) (*tls.Certificate, error)) (err error) {
	cfg := certs.Config{Own: own, Folder: f.cfg.Folder, Log: f.log.With("part", "certificates")}
	for _, file := range f.cfg.Certificates {
		cfg.Files = append(cfg.Files, certs.Pair(file))
	}
	if f.cfg.ACMEURL != "" {
		if cfg.ACME, err = f.acme(filepath.Join(dir, "acme")); err != nil {
			return err
		}
	}
	f.https.certs, err = certs.New(cfg)
	return err
}

func (f *front) acme(dir string) (*certs.ACME, error) {
	var roots *x509.CertPool
	if file := f.cfg.ACMERoots; file != "" {
		var err error
		if roots, err = certs.ReadRoots(file); err != nil {
			return nil, fmt.Errorf("the CAs of the ACME directory: %w", err)
		}
	}
	return &certs.ACME{
		URL: f.cfg.ACMEURL, Email: f.cfg.ACMEEmail, Roots: roots, Dir: dir,
		HTTPPort: number(f.httpLn), HTTPSPort: number(f.https.ln),
		Routed: func(host string) bool { return f.router.Routes(host) },
	}, nil
}

// listenHTTPS binds the router's port for HTTPS. When none is configured it is
// 443, or 8443 where that is taken or not allowed, or none at all, on the
// address of plain HTTP; note says so.
func (f *front) listenHTTPS(sockets *systemd.Sockets, addr string) (ln net.Listener, note string, err error) {
	if addr == config.Off {
		return nil, "", nil
	}
	if addr != "" {
		if ln, err = sockets.Listen("https", addr); err != nil {
			return nil, "", fmt.Errorf("the router can't listen on %s for HTTPS: %w", addr, err)
		}
		return ln, "", nil
	}
	host, _, _ := net.SplitHostPort(f.cfg.HTTP) // it may be empty
	ln, err = sockets.Listen("https-443", net.JoinHostPort(host, "443"))
	if err == nil {
		return ln, "", nil
	}
	why := "in use"
	if errors.Is(err, syscall.EACCES) {
		why = "not allowed"
	}
	if ln, err = sockets.Listen("https-8443", net.JoinHostPort(host, "8443")); err != nil {
		return nil, "port 443 is " + why + " and 8443 in use, so there is no HTTPS: choose a port with --https, or --https off", nil
	}
	return ln, "port 443 is " + why + ", so HTTPS is on port 8443", nil
}

// serveHTTPS waits for the table as serveHTTP does.
func (f *front) serveHTTPS(ctx context.Context) error {
	f.waitForTable(ctx)
	return f.router.ServeTLS(ctx, f.https.ln, f.https.certs.TLSConfig(), drain)
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
