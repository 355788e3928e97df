package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/containerd/containerd/v2/core/remotes/docker"

	"lattice/app"
)

// registry returns the way to all registries, which is the cluster's.
func registry(token string) docker.RegistryHosts {
	var d net.Dialer
	via := &asker{token, &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return d.DialContext(ctx, "unix", app.RegistrySocket)
		},
		MaxIdleConnsPerHost: 8,
	}}
	return func(host string) ([]docker.RegistryHost, error) {
		h := docker.RegistryHost{
			Client: &http.Client{Transport: via}, Scheme: "http", Host: "registry", Path: "/v2",
			Capabilities: docker.HostCapabilityPull | docker.HostCapabilityResolve,
		}
		if host == app.ClusterHost {
			h.Host = host // or it would be named as a mirror's is
			h.Capabilities |= docker.HostCapabilityPush
		}
		return []docker.RegistryHost{h}, nil
	}
}

// An asker shows the token, and says what images are called here.
type asker struct {
	token string
	via   http.RoundTripper
}

func (a *asker) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+a.token)
	q := r.URL.Query()
	if rest, own := strings.CutPrefix(r.URL.Path, "/v2/"+app.ClusterImages); own && q.Get("ns") == "docker.io" {
		q.Del("ns") // BuildKit takes cluster/NAME for an image of Docker's registry
		r.URL.Path, r.URL.RawQuery = "/v2/"+rest, q.Encode()
	}
	resp, err := a.via.RoundTrip(r)
	if err != nil || !refused(resp.StatusCode) {
		return resp, err
	}
	if r.Method == http.MethodHead { // without a body
		resp.Body.Close()
		again := r.Clone(r.Context())
		again.Method = http.MethodGet
		if resp, err = a.via.RoundTrip(again); err != nil {
			return nil, err
		}
	}
	defer resp.Body.Close()
	var told struct {
		Errors []struct {
			Message string `json:"message"`
		} `json:"errors"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 64<<10)).Decode(&told); err != nil || len(told.Errors) == 0 {
		return nil, fmt.Errorf("the cluster's registry answers %s", resp.Status)
	}
	return nil, errors.New(told.Errors[0].Message)
}

// refused reports whether an answer is a refusal with a sentence, which BuildKit
// would not look at.
func refused(status int) bool {
	return status == http.StatusUnauthorized || status == http.StatusForbidden || status >= http.StatusInternalServerError
}
