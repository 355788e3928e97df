package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func getenv(m map[string]string) func(string) string { return func(n string) string { return m[n] } }

func TestFromEnv(t *testing.T) {
	cases := []struct {
		name string
		env  map[string]string
		want string
	}{
		{"nothing", nil, "hello 0 unknown 8080"},
		{"the platform's", map[string]string{"PORT": "9000", "INSTANCE_INDEX": "2", "INSTANCE_GUID": "g",
			"VCAP_APPLICATION": `{"application_name":"web","instance_index":2}`}, "web 2 g 9000"},
		{"Cloud Foundry's", map[string]string{"CF_INSTANCE_INDEX": "3", "CF_INSTANCE_GUID": "h", "VCAP_APPLICATION": "{"}, "hello 3 h 8080"},
	}
	for _, c := range cases {
		h := fromEnv(getenv(c.env))
		if got := strings.Join([]string{h.name, h.index, h.guid, h.port}, " "); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

func TestPages(t *testing.T) {
	t.Setenv("HELLO_TEST", "a=b")
	h := fromEnv(getenv(map[string]string{"INSTANCE_INDEX": "2", "INSTANCE_GUID": "some-guid", "PORT": "9000",
		"VCAP_APPLICATION": `{"application_name":"web"}`}))
	cases := []struct {
		path   string
		status int
		want   string // is in the body
	}{
		{"/", 200, "Hello from web!\n\nThis is instance 2 (some-guid)."},
		{"/index", 200, "2\n"},
		{"/port", 200, "9000\n"},
		{"/healthz", 200, "ok\n"},
		{"/ready", 200, "ok\n"},
		{"/ready?set=false", 200, "noted\n"},
		{"/ready", 503, "asked to say no"},
		{"/healthz", 200, "ok\n"},
		{"/ready?set=true", 200, "noted\n"},
		{"/ready", 200, "ok\n"},
		{"/healthz?set=maybe", 400, "must be true or false"},
		{"/eat?mb=1", 200, "took 1 MiB\n"},
		{"/eat", 400, "must be a number"},
		{"/fill?mb=-1", 400, "must be a number"},
		{"/env", 200, "\nHELLO_TEST=a=b\n"},
		{"/env?json=true", 200, `"HELLO_TEST":"a=b"`},
		{"/exit?code=x", 400, `code is "x"`},
		{"/exit?code=256", 400, "must be a number from 0 to 255"},
		{"/nothing", 404, ""},
	}
	for _, c := range cases {
		rec := httptest.NewRecorder()
		h.handler().ServeHTTP(rec, httptest.NewRequest("GET", c.path, nil))
		if rec.Code != c.status || !strings.Contains(rec.Body.String(), c.want) {
			t.Errorf("%s: got %d %q, want %d %q", c.path, rec.Code, rec.Body, c.status, c.want)
		}
		if c.path == "/env?json=true" && !json.Valid(rec.Body.Bytes()) {
			t.Errorf("%s: not JSON: %s", c.path, rec.Body)
		}
	}
}

// start serves on a port that is free and returns its URL and the exit code to come.
func start(t *testing.T, ctx context.Context) (url string, code <-chan int) {
	t.Helper()
	ln, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	port := ln.Addr().(*net.TCPAddr).Port
	ln.Close()
	c := make(chan int, 1)
	go func() { c <- serve(ctx, fromEnv(getenv(map[string]string{"PORT": fmt.Sprint(port)}))) }()
	url = fmt.Sprintf("http://127.0.0.1:%d", port)
	for deadline := time.Now().Add(10 * time.Second); ; {
		resp, err := http.Get(url + "/healthz")
		if err == nil {
			resp.Body.Close()
			return url, c
		}
		if time.Now().After(deadline) {
			t.Fatal("does not come up:", err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestExitAnswersFirst(t *testing.T) {
	for query, want := range map[string]int{"": 1, "?code=7": 7, "?code=0": 0} {
		url, code := start(t, t.Context())
		resp, err := http.Get(url + "/exit" + query)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != 200 || !strings.Contains(string(body), fmt.Sprint("exit code ", want)) {
			t.Errorf("%s: got %d %q, %v", query, resp.StatusCode, body, err)
		}
		if got := <-code; got != want {
			t.Errorf("%s: exit code %d, want %d", query, got, want)
		}
	}
}

func TestStopsCleanly(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	_, code := start(t, ctx)
	stop()
	if got := <-code; got != 0 {
		t.Errorf("exit code %d, want 0", got)
	}
}

func TestPortTaken(t *testing.T) {
	ln, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	port := fmt.Sprint(ln.Addr().(*net.TCPAddr).Port)
	if got := serve(t.Context(), fromEnv(getenv(map[string]string{"PORT": port}))); got != 1 {
		t.Errorf("exit code %d, want 1", got)
	}
}

func TestTask(t *testing.T) {
	file := filepath.Join(t.TempDir(), "result")
	var out bytes.Buffer
	if code := runTask(t.Context(), []string{"-say", "hi", "-times", "2", "-every", "1ms", "-exit", "3", "-write", file}, &out); code != 3 {
		t.Errorf("exit code %d", code)
	}
	if got, err := os.ReadFile(file); string(got) != "hi" || err != nil || strings.Count(out.String(), "hello-task: hi") != 2 {
		t.Errorf("wrote %q %v, said %q", got, err, out.String())
	}
}
