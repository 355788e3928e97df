// Command hello is the sample app: a small web server that says who answers, so
// that one sees requests being spread, crashes being healed, and logs.
//
//	/          greets
//	/index     the index of the instance
//	/port      the port it listens on
//	/env       its environment, NAME=value a line; ?json=true as JSON
//	/exit      answers and dies with exit code 1; ?code=N with another
//	/healthz   ok; 503 after ?set=false, until ?set=true
//	/ready     likewise
//
// To see what the platform does with an app that goes mad:
//
//	/eat?mb=N   takes so much memory and keeps it
//	/fill?mb=N  writes a file of this size
//	/fork       starts processes without end
//
// As `hello task` it is no server: it says hello and ends; -h tells more.
//
// With IGNORE_TERM=1 in its environment it does not care for SIGTERM.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// stopGrace is how long requests may take that are under way when we stop.
const stopGrace = 5 * time.Second

func main() {
	if len(os.Args) == 2 && os.Args[1] == "fork" {
		forkForEver()
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if os.Getenv("IGNORE_TERM") != "" {
		ctx = context.WithoutCancel(ctx)
	}
	if len(os.Args) > 1 && os.Args[1] == "task" {
		os.Exit(runTask(ctx, os.Args[2:], os.Stdout))
	}
	os.Exit(serve(ctx, fromEnv(os.Getenv)))
}

// fromEnv finds out what the platform tells us about ourselves.
func fromEnv(getenv func(string) string) hello {
	or := func(names ...string) string {
		for _, n := range names {
			if v := getenv(n); v != "" {
				return v
			}
		}
		return ""
	}
	h := hello{
		name:  "hello",
		index: or("INSTANCE_INDEX", "CF_INSTANCE_INDEX"),
		guid:  or("INSTANCE_GUID", "CF_INSTANCE_GUID"),
		port:  or("PORT"),
		start: time.Now(),
		exit:  make(chan int, 1),
		trial: &trial{},
	}
	var vcap struct {
		Name string `json:"application_name"`
	}
	if json.Unmarshal([]byte(getenv("VCAP_APPLICATION")), &vcap) == nil && vcap.Name != "" {
		h.name = vcap.Name
	}
	if h.index == "" {
		h.index = "0"
	}
	if h.guid == "" {
		h.guid = "unknown"
	}
	if h.port == "" {
		h.port = "8080"
	}
	return h
}

// serve works until ctx is done or somebody asks for /exit, and returns the
// exit code.
func serve(ctx context.Context, h hello) int {
	ln, err := net.Listen("tcp", ":"+h.port)
	if err != nil {
		fmt.Fprintln(os.Stderr, "hello-app:", err)
		return 1
	}
	fmt.Printf("hello-app: %s, index %s, listens on port %s\n", h.name, h.index, h.port)
	srv := &http.Server{Handler: h.handler(), ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(ln) }()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			fmt.Printf("hello-app: says hello, index %s, uptime %v\n", h.index, time.Since(h.start).Round(time.Second))
		case err := <-ended:
			fmt.Fprintln(os.Stderr, "hello-app:", err)
			return 1
		case code := <-h.exit:
			fmt.Fprintf(os.Stderr, "hello-app: asked to exit with code %d\n", code)
			shutdown(srv)
			return code
		case <-ctx.Done():
			fmt.Println("hello-app: says goodbye")
			shutdown(srv)
			return 0
		}
	}
}

// shutdown lets requests under way come to their end.
func shutdown(srv *http.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), stopGrace)
	defer cancel()
	if err := srv.Shutdown(ctx); errors.Is(err, context.DeadlineExceeded) {
		fmt.Fprintln(os.Stderr, "hello-app: gave up on requests that would not end")
	}
}
