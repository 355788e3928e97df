package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"lattice/api"
)

func newDashboard(st *streams) *cobra.Command {
	var stay, print bool
	var listen string
	cmd := &cobra.Command{
		Use:     "dashboard",
		Aliases: []string{"ui"},
		GroupID: groupSee,
		Short:   "Open the dashboard in a browser, logged in",
		Long: `Open the dashboard in a browser, logged in as who you are to the brain.

The link is good once, for a minute. Where the system doesn't trust the brain's
certificate, which is so unless you gave it your own, the browser goes through this
command instead: it listens on this machine only, knows the certificate, and runs
until you stop it with Ctrl-C.`,
		Example: st.name + " dashboard\n" + st.name + " dashboard --print",
		Args:    args(0, 0, ""),
	}
	cmd.Flags().BoolVar(&print, "print", false, "print the link instead of opening a browser")
	cmd.Flags().BoolVar(&stay, "proxy", false, "go through this command even if the certificate is trusted")
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:0", "`ADDRESS` on which this command listens if the browser goes through it")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		t, err := currentTarget()
		if err != nil {
			return err
		}
		c, err := dial(t)
		if err != nil {
			return err
		}
		defer c.Close()
		l, err := c.LoginLink(cmd.Context())
		if err != nil {
			return fmt.Errorf("get a link to the dashboard: %w", err)
		}
		show := func(base string) {
			link := base + "/#login=" + l.Code
			if print || !openBrowser(link) {
				fmt.Fprintln(st.out, link)
			} else {
				fmt.Fprintf(st.out, "Opened %s in the browser.\n", base)
			}
		}
		if !stay && trustedBySystem(cmd.Context(), t.URL) {
			show(t.URL)
			return nil
		}
		return serveDashboard(cmd.Context(), st, listen, t.URL, c, show)
	}
	return cmd
}

// trustedBySystem reports whether a browser here would show no warning.
func trustedBySystem(ctx context.Context, address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	host := u.Host
	if u.Port() == "" {
		host = net.JoinHostPort(u.Hostname(), "443")
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := (&tls.Dialer{}).DialContext(ctx, "tcp", host)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// serveDashboard passes what a browser on this machine asks for to the brain,
// until ctx ends.
func serveDashboard(ctx context.Context, st *streams, listen, address string, c *api.Client, ready func(base string)) error {
	ln, err := net.Listen("tcp", listen)
	if err != nil {
		return fail(exitCommand, fmt.Errorf("the dashboard can't be on %s: %w", listen, err))
	}
	if ip := ln.Addr().(*net.TCPAddr).IP; !ip.IsLoopback() {
		ln.Close()
		return fail(exitSyntax, fmt.Errorf("--listen %s can be reached from other machines, and nothing would be encrypted: use 127.0.0.1", listen))
	}
	handler, err := loopbackProxy(address, ln.Addr().String(), c.Transport())
	if err != nil {
		ln.Close()
		return err
	}
	srv := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0)}
	defer context.AfterFunc(ctx, func() { srv.Close() })()
	ready("http://" + ln.Addr().String())
	st.note("The browser reaches the brain through this command: it works until you press Ctrl-C.")
	if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the dashboard: %w", err)
	}
	return nil
}

// The session's cookie is only for TLS. Between browser and proxy there is none,
// nor a network, and the cookie has another name.
const (
	brainCookie = "__Host-lattice="
	localCookie = "lattice-local="
)

// loopbackProxy passes requests for the host own to the brain at address.
func loopbackProxy(address, own string, transport http.RoundTripper) (http.Handler, error) {
	target, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	proxy := &httputil.ReverseProxy{
		Transport:     transport,
		FlushInterval: -1,
		ErrorLog:      log.New(io.Discard, "", 0),
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = own // with which the brain compares the Origin
			r.Out.Header.Del("Authorization")
			if cookies := r.In.Header.Get("Cookie"); cookies != "" {
				r.Out.Header.Set("Cookie", strings.ReplaceAll(cookies, localCookie, brainCookie))
			}
		},
		ModifyResponse: func(resp *http.Response) error {
			cookies := resp.Header["Set-Cookie"]
			for i, c := range cookies {
				c = strings.Replace(c, brainCookie, localCookie, 1)
				cookies[i] = strings.Replace(c, "; Secure", "", 1)
			}
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, "the brain does not answer: "+err.Error(), http.StatusBadGateway)
		},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host != own { // a page elsewhere whose name was made to lead here
			http.Error(w, "this is "+own, http.StatusMisdirectedRequest)
			return
		}
		proxy.ServeHTTP(w, r)
	}), nil
}

// openBrowser reports whether a browser could be started.
func openBrowser(link string) bool {
	name, args := "xdg-open", []string{link}
	switch runtime.GOOS {
	case "darwin":
		name = "open"
	case "windows":
		name, args = "rundll32", []string{"url.dll,FileProtocolHandler", link}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return false
	}
	return exec.Command(path, args...).Run() == nil
}
