package cli

import (
	"context"
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

// The sample app, which is in the binary.
const (
	sampleName  = "hello"
	sampleImage = "lattice/hello"
)

// sample runs the sample app, unless it is there already, and shows what it
// answers through the router.
func (st *streams) sample(ctx context.Context) error {
	b, err := connect()
	if err != nil {
		return err
	}
	a := app.App{Name: sampleName, Image: sampleImage, Instances: 1, MemoryMB: app.DefaultMemoryMB}
	st.note("\nCreating the sample app: %s create %s %s", st.name, sampleName, sampleImage)
	if _, err := b.CreateApp(ctx, a); err != nil && !errors.Is(err, app.ErrExists) {
		return fmt.Errorf("create the sample app: %w", err)
	}
	w := waiter{st: st, brain: b, app: sampleName, timeout: defaultTimeout}
	s, err := w.run(ctx)
	if err != nil {
		return err
	}
	if len(s.URLs) == 0 {
		return errors.New("the sample app has no route")
	}
	answer, err := ask(ctx, s.URLs[0])
	if err != nil {
		return fmt.Errorf("ask the sample app: %w", err)
	}
	fmt.Fprintf(st.out, "\n%s\n\n", st.out.paint(green, s.URLs[0]))
	for line := range strings.Lines(answer) {
		fmt.Fprintf(st.out, "  %s", st.out.clean(strings.TrimRight(line, "\n"))+"\n")
	}
	st.note("\nTry next:")
	var t table
	t.row("", "curl "+s.URLs[0], "the same request again")
	t.row("", "ltc scale hello 3", "three instances")
	t.row("", "ltc logs hello", "what they print")
	t.row("", "curl "+s.URLs[0]+"/exit", "let one die, and 'ltc status hello' shows it come back")
	t.row("", "ltc create web IMAGE", "an app of your own")
	t.write(st.err)
	return nil
}

// ask sends a request to the router of this machine, whatever the name in the
// URL resolves to here.
func ask(ctx context.Context, rawURL string) (string, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return "", err
	}
	port := u.Port()
	if port == "" {
		port = "80"
	}
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
		},
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, rawURL, nil)
	if err != nil {
		return "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("it answered %s: %s", resp.Status, body)
	}
	return string(body), err
}
