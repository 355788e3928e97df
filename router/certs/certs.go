// Package certs finds the certificate for a TLS connection to the router: among
// those from files, from an ACME directory for hosts that have a route, or else
// from our own CA. Files that change are read again; nothing has to be
// restarted. Nothing else of ours knows certmagic.
package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// lookEvery is how often the files are looked at for changes.
const lookEvery = 2 * time.Second

// Config says where certificates come from. Each part may be missing.
type Config struct {
	// Own returns a certificate of our own CA for a name, whatever it is: what
	// the client makes of it is not our concern. It must be there.
	Own func(name string) (*tls.Certificate, error)

	Files  []Pair // go before all others
	Folder string // with NAME.crt and NAME.key, or NAME/fullchain.pem and NAME/privkey.pem

	ACME *ACME // nil: none

	Log *slog.Logger // nil: nothing is logged
}

// A Pair is a certificate, with what its chain needs, and its key, as PEM files.
type Pair struct{ Cert, Key string }

// ACME says how to get certificates from a directory.
type ACME struct {
	URL       string // of the directory
	Email     string // may be empty
	Roots     *x509.CertPool
	Dir       string                 // keeps account, keys and certificates
	HTTPPort  int                    // on which the router answers challenges
	HTTPSPort int                    // the same
	Routed    func(host string) bool // certificates are asked for such hosts only
}

// Certs is a source of certificates. It is safe for concurrent use.
type Certs struct {
	cfg   Config
	log   *slog.Logger
	files atomic.Pointer[files]
	acme  *issuer // nil: none
}

// New reads the files; what is wrong with them is an error.
func New(cfg Config) (*Certs, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	c := &Certs{cfg: cfg, log: cfg.Log}
	f, err := readFiles(cfg.Files, cfg.Folder)
	if err != nil {
		return nil, err
	}
	c.files.Store(f)
	if cfg.ACME != nil {
		c.acme = newIssuer(*cfg.ACME, cfg.Log)
	}
	return c, nil
}

// Run looks after the files and certificates until ctx is done.
func (c *Certs) Run(ctx context.Context) error {
	if c.acme != nil {
		defer c.acme.stop()
	}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	last := ""
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if was := c.files.Load(); was.changed() {
			f, err := readFiles(c.cfg.Files, c.cfg.Folder)
			if err == nil {
				c.files.Store(f)
				c.log.Info("certificates read again", "names", f.names())
			} else if err.Error() != last { // once: it may be half written
				c.log.Warn("certificates not read again, the old ones stay", "err", err)
			}
			last = fmt.Sprint(err)
		}
	}
}

// TLSConfig returns the configuration of a server: TLS 1.2 and later, HTTP/2
// and HTTP/1.1.
func (c *Certs) TLSConfig() *tls.Config {
	protocols := []string{"h2", "http/1.1"}
	if c.acme != nil {
		protocols = append(protocols, challengeProtocol)
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: protocols, GetCertificate: c.certificate}
}

func (c *Certs) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	name := strings.ToLower(strings.TrimSuffix(hello.ServerName, "."))
	if c.acme != nil && isChallenge(hello) {
		return c.acme.magic.GetCertificate(hello)
	}
	if cert := c.files.Load().find(name); cert != nil {
		return cert, nil
	}
	if c.acme != nil && c.acme.takes(name) {
		cert, err := c.acme.certificate(hello, name)
		if err == nil {
			return cert, nil
		}
		c.log.Debug("no certificate by ACME", "host", name, "err", err)
	}
	cert, err := c.cfg.Own(name)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("no certificate for %q", name), err)
	}
	return cert, nil
}

// Challenge answers a challenge of ACME by HTTP, or reports false.
func (c *Certs) Challenge(w http.ResponseWriter, req *http.Request) bool {
	return c.acme != nil && c.acme.acme.HandleHTTPChallenge(w, req)
}
