package api

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"lattice/app"
)

// maxAnswer is the most a client reads of one answer or of one line of a
// stream, in bytes.
const maxAnswer = 256 << 20

// ClientConfig says how to reach a brain.
type ClientConfig struct {
	// URL is https://HOST[:PORT]; https:// may be left out.
	URL   string
	Token string

	// CA are the certificates, in PEM, of which one must have signed the
	// brain's. CAHash is the SHA-256 of such a certificate (in DER) in hex,
	// for who has not got the certificate itself; the brain sends it. With
	// either the brain may be called by any address. With neither, the
	// system's certificates count and the brain's must be for the URL's host.
	CA     string
	CAHash string

	// Certificate, if not nil, returns what the client shows of itself when it
	// connects. It may return another one each time, but never nil.
	Certificate func() *tls.Certificate

	Timeout time.Duration // of a request that is no stream, and of the start of one; 0: 30 s
	Silence time.Duration // after that long without a sign of life a stream is dead; 0: 45 s
}

// Client talks to a brain. All methods may be called concurrently.
//
// Errors are of the kinds that package app has, also those that the brain
// found. ErrUnavailable says that no brain answered or that the answer broke
// off, so that nobody knows whether the request was carried out. Streams don't
// reconnect by themselves.
//
// It speaks HTTP/1.1 and not 2: each stream has a connection of its own, so
// that one that is read slowly or breaks is no matter to the others.
type Client struct {
	base    string
	token   string
	http    *http.Client
	timeout time.Duration
	silence time.Duration
}

// NewClient returns a client. It connects to nothing yet.
func NewClient(cfg ClientConfig) (*Client, error) {
	base, err := baseURL(cfg.URL)
	if err != nil {
		return nil, err
	}
	trust, err := tlsConfig(cfg)
	if err != nil {
		return nil, err
	}
	c := &Client{base: base, token: cfg.Token, timeout: cfg.Timeout, silence: cfg.Silence}
	if c.timeout == 0 {
		c.timeout = 30 * time.Second
	}
	if c.silence == 0 {
		c.silence = 45 * time.Second
	}
	dialer := &net.Dialer{
		Timeout:         5 * time.Second,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3},
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	c.http = &http.Client{
		Transport: &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			DialContext:         dialer.DialContext,
			TLSClientConfig:     trust,
			TLSHandshakeTimeout: 10 * time.Second,
			Protocols:           protocols,
			MaxIdleConnsPerHost: 4,
			IdleConnTimeout:     time.Minute,
			DisableCompression:  true,
		},
		// A brain never redirects, and nobody else shall see the token.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c, nil
}

// Close closes the connections that are not in use.
func (c *Client) Close() { c.http.CloseIdleConnections() }

func baseURL(text string) (string, error) {
	if !strings.Contains(text, "://") {
		text = "https://" + text
	}
	u, err := url.Parse(text)
	switch {
	case err != nil, u.Host == "", u.Hostname() == "":
		return "", app.Invalid("the brain's address is no URL: write https://HOST:PORT")
	case u.Scheme != "https":
		return "", app.Invalid("the brain's address %q does not start with https://: nothing else keeps the token secret", u.Redacted())
	case u.User != nil, u.RawQuery != "", u.Fragment != "", strings.Trim(u.Path, "/") != "":
		return "", app.Invalid("the brain's address must be https://HOST:PORT and nothing more")
	}
	return "https://" + u.Host, nil
}

// call sends in as JSON, unless it is nil, and reads the answer into out,
// unless that is nil.
func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return fmt.Errorf("encode the request: %w", err)
		}
	}
	return c.send(ctx, method, path, "application/json", body, out)
}

// send does one request that is no stream.
func (c *Client) send(ctx context.Context, method, path, kind string, body []byte, out any) error {
	limited, cancel := context.WithTimeoutCause(ctx, c.timeout, c.slow())
	defer cancel()
	resp, err := c.do(limited, method, path, kind, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return c.broken(limited, err)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(b, out); err != nil {
		return fmt.Errorf("read the answer of %s: %w", c.base, err)
	}
	return nil
}

// do sends a request and returns the response if it is a good one.
func (c *Client) do(ctx context.Context, method, path, kind string, body []byte) (*http.Response, error) {
	if len(body) == 0 {
		kind = ""
	}
	return c.carry(ctx, method, path, kind, bytes.NewReader(body))
}

// carry is do with a body of any length.
func (c *Client) carry(ctx context.Context, method, path, kind string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+"/api/v1"+path, body)
	if err != nil {
		return nil, fmt.Errorf("build the request: %w", err)
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	setLogin(ctx, req)
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.broken(ctx, err)
	}
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	defer resp.Body.Close()
	return nil, c.refusal(resp)
}

// refusal returns the error that the brain answered.
func (c *Client) refusal(resp *http.Response) error {
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	var body errorBody
	if err == nil && json.Unmarshal(b, &body) == nil && body.Error.Code != "" {
		return body.Error.err()
	}
	return sayf(app.ErrUnavailable, "%s answered %q, which is not how a brain answers: is this the address of its API?", c.base, resp.Status)
}

// broken turns an error of the network into a sentence.
func (c *Client) broken(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause // ours says what took too long, and the caller knows its own
	}
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err // without method and URL, which the sentence has
	}
	var name *net.DNSError
	var alert *net.OpError
	switch {
	case errors.As(err, &alert) && alert.Op == "remote error" && strings.Contains(alert.Error(), "certificate"): // crypto/tls has no type for it
		return &said{fmt.Sprintf("the brain at %s does not accept the certificate that is shown to it (%v)", c.base, alert.Err), []error{app.ErrUnauthorized, err}}
	case isUntrusted(err):
		return &said{fmt.Sprintf("the brain at %s does not show the certificate that is expected: either it was set up anew, or somebody is in between (%v)", c.base, err), []error{ErrUntrusted, err}}
	case errors.As(err, &name):
		return &said{fmt.Sprintf("the brain at %s can't be found: is its name right? (%v)", c.base, err), []error{app.ErrUnavailable, err}}
	}
	return &said{fmt.Sprintf("the brain at %s does not answer: is it up? (%v)", c.base, err), []error{app.ErrUnavailable, err}}
}

// slow is the cause of a request that took too long.
func (c *Client) slow() error {
	return sayf(app.ErrUnavailable, "the brain at %s did not answer within %s: is it overloaded or cut off?", c.base, c.timeout)
}
