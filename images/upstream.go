package images

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"lattice/app"
)

const (
	maxManifest  = 4 << 20          // bytes, as registries have it
	dialTime     = 10 * time.Second // to connect
	headerTime   = time.Minute      // until an answer begins
	stallTime    = 30 * time.Second // without a byte a layer counts as broken off
	maxResumes   = 5                // in a row without a byte
	firstPause   = 200 * time.Millisecond
	longestPause = 5 * time.Second
)

// An upstream is one repository of another registry, for one user.
type upstream struct {
	ref  ref
	base string // URL of the repository
	http *http.Client
}

// open greets the registry and logs in.
func open(ctx context.Context, r ref, s source) (*upstream, error) {
	host, plain := r.host, s.PlainHTTP
	if s.Mirror != "" {
		u, err := url.Parse(s.Mirror)
		if err != nil {
			return nil, err
		}
		host, plain = u.Host, u.Scheme == "http"
	}
	var opts []name.Option
	if plain {
		opts = append(opts, name.Insecure)
	}
	reg, err := name.NewRegistry(host, opts...)
	if err != nil {
		return nil, app.Invalid("the registry %.100q: %v", host, err)
	}
	raw, err := dialer(s)
	if err != nil {
		return nil, err
	}
	var auth authn.Authenticator = authn.Anonymous
	if s.Username != "" {
		auth = &authn.Basic{Username: s.Username, Password: s.password}
	}
	allowed := plain || isLoopback(host)
	retry := transport.NewRetry(guard{raw, host, allowed}, transport.WithRetryBackoff(transport.Backoff{Duration: firstPause, Factor: 3, Jitter: 0.1, Steps: 3}),
		transport.WithRetryStatusCodes(http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout))
	rt, err := transport.NewWithContext(ctx, reg, auth, retry, scopes(reg, r))
	if err != nil {
		return nil, err
	}
	return &upstream{ref: r, base: "https://" + reg.RegistryStr() + "/v2/" + r.repo, http: &http.Client{Transport: rt}}, nil
}

// scopes returns what the login is for; without a repository, nothing.
func scopes(reg name.Registry, r ref) []string {
	if r.repo == "" {
		return nil
	}
	return []string{reg.Repo(r.repo).Scope(transport.PullScope)}
}

// A guard keeps credentials off the wire where they could be read: the library
// would speak to any private address without TLS.
type guard struct {
	http.RoundTripper
	host  string
	plain bool // allowed
}

func (g guard) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme == "http" && !g.plain {
		return nil, errNoTLS
	}
	return g.RoundTripper.RoundTrip(r)
}

// isLoopback reports whether host, with or without a port, is this machine.
func isLoopback(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// dialer makes connections as the registry wants them.
func dialer(s source) (*http.Transport, error) {
	t := &http.Transport{
		Proxy:       http.ProxyFromEnvironment,
		DialContext: (&net.Dialer{Timeout: dialTime, KeepAlive: 15 * time.Second}).DialContext, TLSHandshakeTimeout: dialTime,
		ResponseHeaderTimeout: headerTime, IdleConnTimeout: 30 * time.Second, MaxIdleConnsPerHost: 8, DisableCompression: true,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: s.Insecure}, //nolint:gosec // a person asked for it
	}
	if s.CA != "" {
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM([]byte(s.CA)) {
			return nil, app.Invalid("the CA of the registry %s has no certificate in PEM", s.Host)
		}
		t.TLSClientConfig.RootCAs = pool
	}
	return t, nil
}

// manifestTypes is what we can read.
func manifestTypes() string {
	return strings.Join([]string{
		"application/vnd.oci.image.index.v1+json", "application/vnd.oci.image.manifest.v1+json",
		"application/vnd.docker.distribution.manifest.list.v2+json", "application/vnd.docker.distribution.manifest.v2+json",
	}, ", ")
}

// manifest returns what is under a tag or digest, and its media type.
func (u *upstream) manifest(ctx context.Context, target string) (body []byte, kind string, err error) {
	resp, err := u.get(ctx, "/manifests/"+target, "")
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(io.LimitReader(resp.Body, maxManifest+1))
	if err == nil && len(body) > maxManifest {
		err = fmt.Errorf("its manifest has more than %d bytes", maxManifest)
	}
	return body, resp.Header.Get("Content-Type"), err
}

// get asks for a path of the repository, or a range of it.
func (u *upstream) get(ctx context.Context, path, bytes string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.base+path, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", manifestTypes())
	if strings.HasPrefix(path, "/blobs/") {
		req.Header.Set("Accept", "*/*")
	}
	if bytes != "" {
		req.Header.Set("Range", "bytes="+bytes)
	}
	resp, err := u.http.Do(req)
	if err != nil {
		return nil, err
	}
	if err := transport.CheckError(resp, http.StatusOK, http.StatusPartialContent); err != nil {
		resp.Body.Close()
		return nil, err
	}
	return resp, nil
}

// blob opens a layer or a config. What breaks off is gone on with.
func (u *upstream) blob(ctx context.Context, digest string) (*blobReader, error) {
	b := &blobReader{ctx: ctx, upstream: u, path: "/blobs/" + digest, size: -1}
	if err := b.connect(); err != nil {
		return nil, err
	}
	return b, nil
}

// A blobReader reads a blob to its end, over broken connections.
type blobReader struct {
	ctx      context.Context
	upstream *upstream
	path     string
	size     int64 // -1: not known

	offset  int64
	body    io.ReadCloser
	stalled *time.Timer
	cancel  context.CancelFunc
	fails   int // in a row
}

// connect asks for what is missing.
func (b *blobReader) connect() error {
	ctx, cancel := context.WithCancel(b.ctx)
	resp, err := b.upstream.get(ctx, b.path, b.missing())
	var status *transport.Error
	if b.offset > 0 && errors.As(err, &status) && status.StatusCode == http.StatusRequestedRangeNotSatisfiable {
		resp, err = b.upstream.get(ctx, b.path, "") // it knows no ranges, and says so
	}
	if err != nil {
		cancel()
		return err
	}
	if b.size < 0 {
		b.size = resp.ContentLength
	}
	b.body, b.cancel, b.stalled = resp.Body, cancel, time.AfterFunc(stallTime, cancel)
	if b.offset > 0 && resp.StatusCode == http.StatusOK { // it began anew
		_, err = io.CopyN(io.Discard, b.body, b.offset)
	}
	return err
}

// missing is the range that has not come yet; "" is all.
func (b *blobReader) missing() string {
	switch {
	case b.offset == 0:
		return ""
	case b.size < 0:
		return fmt.Sprintf("%d-", b.offset)
	}
	return fmt.Sprintf("%d-%d", b.offset, b.size-1)
}

func (b *blobReader) Read(p []byte) (int, error) {
	for {
		b.stalled.Reset(stallTime)
		n, err := b.body.Read(p)
		b.offset += int64(n)
		if n > 0 {
			b.fails = 0
		}
		whole := b.size < 0 || b.offset >= b.size
		switch {
		case err == nil, errors.Is(err, io.EOF) && whole:
			return n, err
		case b.ctx.Err() != nil:
			return n, b.ctx.Err()
		case n > 0:
			err = b.resume(err)
			return n, err
		}
		if err := b.resume(err); err != nil {
			return 0, err
		}
	}
}

// resume connects again after a failure.
func (b *blobReader) resume(cause error) error {
	b.Close()
	for pause := firstPause; b.fails < maxResumes; pause = min(2*pause, longestPause) {
		b.fails++
		select {
		case <-b.ctx.Done():
			return b.ctx.Err()
		case <-time.After(pause):
		}
		err := b.connect()
		if err == nil {
			return nil
		}
		cause = err
	}
	return fmt.Errorf("broke off after %d bytes: %w", b.offset, cause)
}

// Close lets go of the connection.
func (b *blobReader) Close() error {
	b.stalled.Stop()
	err := b.body.Close()
	b.cancel()
	return err
}

func greet(ctx context.Context, r app.Registry) error {
	ctx, cancel := context.WithTimeout(ctx, resolveTime)
	defer cancel()
	s, x := source{r, r.Password}, ref{host: r.Host}
	u, err := open(ctx, x, s)
	if err == nil {
		err = u.ping(ctx)
	}
	if err != nil && !errors.Is(err, app.ErrInvalid) {
		err = &greetError{sentence(x, s, err), err}
	}
	return err
}

// ping asks for what every registry has.
func (u *upstream) ping(ctx context.Context) error {
	base := u.base[:strings.Index(u.base, "/v2/")+len("/v2/")]
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base, nil)
	if err != nil {
		return err
	}
	resp, err := u.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return transport.CheckError(resp, http.StatusOK)
}

// A greetError says in a sentence why a registry isn't pleased.
type greetError struct {
	sentence string
	cause    error
}

func (e *greetError) Error() string   { return e.sentence }
func (e *greetError) Unwrap() []error { return []error{app.ErrImage, e.cause} }
