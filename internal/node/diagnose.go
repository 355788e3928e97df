package node

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"time"

	"lattice/app"
	"lattice/internal/doctor"
)

// patient is api.Doctor.
type patient struct{ b *brain }

// Diagnose looks at what the brain alone knows of itself.
func (p patient) Diagnose(ctx context.Context) []app.Finding {
	b, now := p.b, time.Now()
	fs := doctor.Process(b.cfg.DataDir)
	fs = append(fs, doctor.Certificate("certificate authority", b.ca.Ends(), now, "make a new cluster before that day, or ask for help: all cells trust this one"))
	if cert, err := b.ca.Server(nil, nil); err != nil { // a new one is what a client would get
		fs = append(fs, app.Finding{Check: "certificate of the API", State: app.FindingBroken, Says: err.Error(), Mend: "see the brain's log"})
	} else {
		fs = append(fs, doctor.Certificate("certificate of the API", cert.Leaf.NotAfter, now, "restart the brain"))
	}
	fs = append(fs, b.tryRouter(ctx))
	if lost := b.hub.Lost(); lost > 0 {
		fs = append(fs, app.Finding{Check: "logs", State: app.FindingWarning, Mend: "'logs APP' shows where, as lines of the source LOG; let the app print less",
			Says: fmt.Sprintf("%d times since the start lines of apps were lost, because they came faster than they could be kept", lost)})
	} else {
		fs = append(fs, app.Finding{Check: "logs", State: app.FindingOK, Says: "no lines of apps were lost since the start"})
	}
	return fs
}

// tryRouter asks the router for an app that is not there. An answer is what
// matters, whatever it says.
func (b *brain) tryRouter(ctx context.Context) app.Finding {
	f := app.Finding{Check: "router", State: app.FindingBroken, Mend: "see the brain's log"}
	host, _, _ := net.SplitHostPort(b.httpLn.Addr().String())
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	addr := net.JoinHostPort(host, port(b.httpLn))
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/", nil)
	if err != nil {
		f.Says = err.Error()
		return f
	}
	req.Host = "lattice-doctor." + b.cfg.Domain
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		f.Says = fmt.Sprintf("does not answer at %s: %v", addr, err)
		return f
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // its status is enough
	return app.Finding{Check: "router", State: app.FindingOK, Says: "answers at " + addr}
}

// Support returns what is inside the process. Settings are masked already, and
// the log has no secrets.
func (p patient) Support(context.Context) (map[string][]byte, error) {
	var stacks, memory bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&stacks, 1); err != nil {
		return nil, fmt.Errorf("list the goroutines: %w", err)
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	fmt.Fprintf(&memory, "heap %d bytes in %d objects, %d from the system, %d collections, %d goroutines\n",
		m.HeapAlloc, m.HeapObjects, m.Sys, m.NumGC, runtime.NumGoroutine())
	settings, err := json.MarshalIndent(p.b.cfg.Settings, "", "  ")
	if err != nil {
		return nil, err
	}
	build, _ := debug.ReadBuildInfo()
	return map[string][]byte{
		"goroutines.txt": stacks.Bytes(), "memory.txt": memory.Bytes(), "settings.json": settings, "lattice.log": debugText(p.b.hub),
		"version.txt": fmt.Appendf(nil, "lattice %s\n%s/%s\n%s\n", p.b.version, runtime.GOOS, runtime.GOARCH, build),
	}, nil
}
