package api

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"
)

// TestEveryPathRefusesTheWrongToken walks what the engine really serves, so a
// path that is added without a thought of who may use it can't slip through.
func TestEveryPathRefusesTheWrongToken(t *testing.T) {
	const user, cell = "token of a user", "token of a cell"
	s := NewServer(ServerConfig{ // without backends: whoever gets past the check panics
		Auth: Tokens{User: HashToken(user), Cell: HashToken(cell)},
		Log:  slog.New(slog.DiscardHandler), Done: context.Background(),
	}).(*server)
	s.engine.GET("/api/v1/not/in/the/table", func(c *gin.Context) { panic("reached") })

	routes := s.engine.Routes()
	if want := len(s.routes()) + 1; len(routes) != want {
		t.Fatalf("the engine has %d routes, want %d", len(routes), want)
	}
	forCells := []string{"/join", "/work", "/report", "/cells/:id/logs", "/log-cursors"}
	for _, r := range routes {
		if r.Path == "/api/v1/ping" {
			continue
		}
		wrongRole, right := cell, user
		if strings.HasSuffix(r.Path, "/drain") {
			wrongRole = "of nobody" // a cell may do it, too
			if got := ask(s, r.Method, r.Path, "Bearer "+cell); got == 401 || got == 403 {
				t.Errorf("%s %s with a cell's token: got %d", r.Method, r.Path, got)
			}
		}
		for _, suffix := range forCells {
			if strings.HasSuffix(r.Path, suffix) {
				wrongRole, right = user, cell
			}
		}
		refusal := 403
		if wrongRole == "of nobody" {
			refusal = 401
		}
		for header, want := range map[string]int{
			"":                     401,
			"Bearer":               401,
			"Bearer ":              401,
			"Bearer guessed":       401,
			"Bearer " + user + "x": 401,
			"Basic " + right:       401,
			right:                  401,
			"Bearer " + wrongRole:  refusal,
		} {
			if got := ask(s, r.Method, r.Path, header); got != want {
				t.Errorf("%s %s with %q: got %d, want %d", r.Method, r.Path, header, got, want)
			}
		}
		got := ask(s, r.Method, r.Path, "Bearer "+right)
		if open := got != 401 && got != 403; open == strings.HasSuffix(r.Path, "/in/the/table") {
			t.Errorf("%s %s with the right token: got %d", r.Method, r.Path, got)
		}
	}
}

func TestPathsThatAreNotThereRefuseToo(t *testing.T) {
	s := NewServer(ServerConfig{
		Auth: Tokens{User: HashToken("u"), Cell: HashToken("c")},
		Log:  slog.New(slog.DiscardHandler), Done: context.Background(),
	}).(*server)
	for _, tt := range []struct {
		method, path, header string
		want                 int
	}{
		{"GET", "/api/v1/nothing", "", 401},
		{"GET", "/api/v1/nothing", "Bearer c", 403},
		{"GET", "/api/v1/nothing", "Bearer u", 404},
		{"DELETE", "/api/v1/apps", "", 401},
		{"DELETE", "/api/v1/apps", "Bearer c", 403},
		{"DELETE", "/api/v1/apps", "Bearer u", 405},
		{"GET", "/api/v1/ping", "", 200},
		{"GET", "/api/v1/ping", "Bearer wrong", 200},
	} {
		if got := ask(s, tt.method, tt.path, tt.header); got != tt.want {
			t.Errorf("%s %s with %q: got %d, want %d", tt.method, tt.path, tt.header, got, tt.want)
		}
	}
}

// odd is an Auth that gives everybody a role that no path asks for.
type odd struct{ role Role }

func (o odd) Role(string) (Role, bool) { return o.role, true }

func TestOnlyTheRoleOfThePathOpensIt(t *testing.T) {
	for _, role := range []Role{"", roleAnyone, roleBoth, "admin"} {
		s := NewServer(ServerConfig{Auth: odd{role}, Log: slog.New(slog.DiscardHandler), Done: context.Background()}).(*server)
		for _, path := range []string{"/api/v1/info", "/api/v1/nothing", "/api/v1/cells/x/work", "/api/v1/cells/x/drain"} {
			method := "GET"
			if strings.HasSuffix(path, "/drain") {
				method = "PUT"
			}
			if got := ask(s, method, path, "Bearer x"); got != 403 {
				t.Errorf("%s as %q: got %d, want 403", path, role, got)
			}
		}
	}
}

func TestTokens(t *testing.T) {
	both := Tokens{User: HashToken("u"), Cell: HashToken("c")}
	for _, tt := range []struct {
		tokens Tokens
		token  string
		want   Role
	}{
		{both, "u", RoleUser}, {both, "c", RoleCell}, {both, "", ""}, {both, "x", ""},
		{Tokens{Cell: HashToken("c")}, "u", ""}, {Tokens{}, "", ""},
		{Tokens{User: HashToken("")}, "", ""},
	} {
		if got, ok := tt.tokens.Role(tt.token); got != tt.want || ok != (tt.want != "") {
			t.Errorf("%q: got %q, %v, want %q", tt.token, got, ok, tt.want)
		}
	}
}

// ask returns the status of a request, or 500 where a backend was missing.
func ask(s http.Handler, method, path, header string) int {
	req := httptest.NewRequest(method, path, strings.NewReader("{}"))
	if header != "" {
		req.Header.Set("Authorization", header)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, req)
	return w.Code
}

func TestValidImage(t *testing.T) {
	const digest = "@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	for ref, want := range map[string]string{ // want is a part of the sentence
		"":                        "", // said by app.App's Validate
		"nginx":                   "",
		"lattice/hello":           "",
		"nginx:1.27-ALPINE":       "",
		"localhost/x":             "",
		"127.0.0.1:5000/a/b:tag":  "",
		"[::1]:5000/a":            "",
		"reg.example.com/a_b/c-d": "",
		"nginx" + digest:          "",
		"nginx:1" + digest:        "",
		"Nginx":                   `write "nginx"`,
		"Library/Nginx:TAG":       `write "library/nginx:TAG"`,
		"Nginx" + digest:          `write "nginx` + digest + `"`,
		"http://reg:5000/x":       `starts with http://: leave that out and write "reg:5000/x"`,
		"docker://nginx":          `write "nginx"`,
		"ng inx":                  "has a space in it",
		"nginx@sha256:12":         `has the digest "sha256:12"`,
		"nginx:":                  "no name of an image",
		"nginx:a:b":               "no name of an image",
		"/nginx":                  "no name of an image",
		digest[8:]:                "no name of an image",
		strings.Repeat("a", 300):  "more than 255 characters",
	} {
		got := ""
		if err := validImage(ref); err != nil {
			got = err.Error()
		}
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%.80s: got %q, want %q", ref, got, want)
		}
	}
}
