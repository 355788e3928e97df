package pki

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"slices"
	"sync"
	"time"
)

// TLSConfig returns the configuration of a server with these names and
// addresses, TLS 1.3 only. The certificate is made at the first connection and
// made anew when two thirds of its life are over; nothing has to be restarted.
// A client that shows a certificate must show one of this CA; whether its cell
// is still welcome is Secrets.Cell's to say.
func (ca *CA) TLSConfig(names []string, ips []net.IP) *tls.Config {
	s := &server{ca: ca, names: slices.Clone(names), ips: slices.Clone(ips)}
	clients := x509.NewCertPool()
	clients.AddCert(ca.cert)
	return &tls.Config{
		MinVersion:     tls.VersionTLS13,
		GetCertificate: s.certificate,
		ClientAuth:     tls.VerifyClientCertIfGiven,
		ClientCAs:      clients,
		NextProtos:     []string{"h2", "http/1.1"},
	}
}

type server struct {
	ca    *CA
	names []string
	ips   []net.IP

	mu   sync.Mutex // guards what follows
	cert *tls.Certificate
}

func (s *server) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cert != nil && time.Until(s.cert.Leaf.NotAfter) > serverLife/3 {
		return s.cert, nil
	}
	fresh, err := s.ca.Server(s.names, s.ips)
	if err != nil {
		return nil, err
	}
	s.cert = &fresh
	return s.cert, nil
}
