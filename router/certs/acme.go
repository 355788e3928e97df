package certs

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3"
	"go.uber.org/zap"
)

const (
	challengeProtocol = acmez.ACMETLS1Protocol

	patience  = 9 * time.Second // that a client waits for a new certificate; it goes on being asked for after that
	restAfter = 5 * time.Minute // after a failure, so that a directory's limits are not used up
	maxAsking = 20              // names that are asked for at a time
)

// An issuer gets certificates from an ACME directory.
type issuer struct {
	magic  *certmagic.Config
	acme   *certmagic.ACMEIssuer
	cache  *certmagic.Cache
	routed func(string) bool
	log    *slog.Logger
	ctx    context.Context // ends with stop
	stop   func()
	work   sync.WaitGroup

	mu     sync.Mutex // guards what follows
	asking map[string]chan struct{}
	failed map[string]time.Time
}

func newIssuer(cfg ACME, log *slog.Logger) *issuer {
	i := &issuer{routed: cfg.Routed, log: log, asking: map[string]chan struct{}{}, failed: map[string]time.Time{}}
	quiet := zap.NewNop() // OnEvent tells us
	i.cache = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return i.magic, nil },
		Capacity:         maxPairs, Logger: quiet,
	})
	i.magic = certmagic.New(i.cache, certmagic.Config{
		Storage: &certmagic.FileStorage{Path: cfg.Dir}, Logger: quiet, OnEvent: i.event,
		OnDemand: &certmagic.OnDemandConfig{DecisionFunc: i.decide},
		OCSP:     certmagic.OCSPConfig{DisableStapling: true},
	})
	i.acme = certmagic.NewACMEIssuer(i.magic, certmagic.ACMEIssuer{
		CA: cfg.URL, Email: cfg.Email, Agreed: true, TrustedRoots: cfg.Roots, Logger: quiet,
		AltHTTPPort: cfg.HTTPPort, AltTLSALPNPort: cfg.HTTPSPort,
	})
	i.magic.Issuers = []certmagic.Issuer{i.acme}
	ctx, cancel := context.WithCancel(context.Background())
	i.ctx, i.stop = ctx, func() {
		cancel()
		i.work.Wait()
		i.cache.Stop()
	}
	return i
}

// decide is asked before a certificate is got or renewed.
func (i *issuer) decide(_ context.Context, name string) error {
	if !i.routed(name) {
		return fmt.Errorf("%s has no route", name)
	}
	return nil
}

func (i *issuer) event(_ context.Context, event string, data map[string]any) error {
	switch event {
	case "cert_obtained":
		i.log.Info("certificate by ACME", "host", data["identifier"], "renewal", data["renewal"])
	case "cert_failed":
		i.log.Warn("no certificate by ACME", "host", data["identifier"], "err", data["error"])
	}
	return nil
}

// takes reports whether a certificate for name can be asked for.
func (i *issuer) takes(name string) bool {
	return certmagic.SubjectQualifiesForPublicCert(name) && i.routed(name)
}

func isChallenge(hello *tls.ClientHelloInfo) bool {
	return len(hello.SupportedProtos) == 1 && slices.Contains(hello.SupportedProtos, challengeProtocol)
}

// certificate returns the one for name, and asks for it if there is none yet.
func (i *issuer) certificate(hello *tls.ClientHelloInfo, name string) (*tls.Certificate, error) {
	if len(i.cache.AllMatchingCertificates(name)) > 0 {
		return i.magic.GetCertificate(hello)
	}
	asked, err := i.ask(hello, name)
	if err != nil {
		return nil, err
	}
	wait := time.NewTimer(patience)
	defer wait.Stop()
	select {
	case <-asked:
	case <-hello.Context().Done():
		return nil, hello.Context().Err()
	case <-wait.C:
		return nil, fmt.Errorf("the certificate for %s is not there yet", name)
	}
	if len(i.cache.AllMatchingCertificates(name)) == 0 {
		return nil, fmt.Errorf("no certificate for %s was given", name)
	}
	return i.magic.GetCertificate(hello)
}

// ask loads a certificate from the disk or gets one, though the client may go
// away. The channel is closed when that is done, or has failed.
func (i *issuer) ask(hello *tls.ClientHelloInfo, name string) (<-chan struct{}, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if done := i.asking[name]; done != nil {
		return done, nil
	}
	switch at, failed := i.failed[name]; {
	case failed && time.Since(at) < restAfter:
		return nil, fmt.Errorf("the certificate for %s was refused %s ago", name, time.Since(at).Round(time.Second))
	case len(i.asking) >= maxAsking:
		return nil, errors.New("too many certificates are being asked for")
	case i.ctx.Err() != nil:
		return nil, i.ctx.Err()
	}
	done := make(chan struct{})
	i.asking[name] = done
	i.work.Go(func() {
		_, err := i.magic.GetCertificateWithContext(i.ctx, hello)
		i.mu.Lock()
		defer i.mu.Unlock()
		delete(i.asking, name)
		delete(i.failed, name)
		if err != nil {
			if len(i.failed) >= maxPairs {
				clear(i.failed)
			}
			i.failed[name] = time.Now()
		}
		close(done)
	})
	return done, nil
}
