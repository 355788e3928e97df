package api

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"lattice/app"
)

// TestEveryPathRefusesTheWrongCaller walks what the engine really serves, so a
// path that is added without a thought of who may use it can't slip through.
func TestEveryPathRefusesTheWrongCaller(t *testing.T) {
	const user, join = "token of a user", "token to join"
	s := NewServer(ServerConfig{ // without backends: whoever gets past the check panics
		Auth: Tokens{User: HashToken(user), Join: HashToken(join)}, Users: viewers{},
		Log: slog.New(slog.DiscardHandler), Done: context.Background(),
	}).(*server)
	s.engine.GET("/api/v1/not/in/the/table", func(c *gin.Context) { panic("reached") })

	routes := s.engine.Routes()
	if want := len(s.routes()) + 1; len(routes) != want {
		t.Fatalf("the engine has %d routes, want %d", len(routes), want)
	}
	own := []string{"POST /api/v1/session/link", "DELETE /api/v1/session"} // what a viewer may do is about itself
	secret := []string{"/api/v1/users", "/api/v1/tokens", "/api/v1/support", "/api/v1/debug-logs", "/api/v1/store", "/api/v1/ssh-keys", "/api/v1/apps/:name/exec", "/api/v1/tasks/:name/exec"}
	forCells := []string{"/work", "/report", "/routing", "/cells/:id/router", "/apps-certificate", "/cells/:id/logs", "/log-cursors", "/membership", "/ring", "/certificate", "/sessions", "/sessions/:session"}
	for _, r := range routes {
		if r.Path == "/api/v1/ping" || r.Method+" "+r.Path == "POST /api/v1/session" {
			continue
		}
		right := "Bearer " + user
		switch {
		case r.Path == "/api/v1/join":
			right = "Bearer " + join
		case slices.ContainsFunc(forCells, func(suffix string) bool { return strings.HasSuffix(r.Path, suffix) }):
			right = "cell :id"
		}
		too := "" // who may as well
		if strings.HasSuffix(r.Path, "/drain") {
			too = "cell :id"
			if got := ask(s, r.Method, r.Path, too); got == 401 || got == 403 {
				t.Errorf("%s %s as the cell: got %d", r.Method, r.Path, got)
			}
		}
		looks := r.Method == "GET" && right == "Bearer "+user && !slices.Contains(secret, r.Path) || slices.Contains(own, r.Method+" "+r.Path)
		if got, want := ask(s, r.Method, r.Path, "Bearer "+aViewer), looks && !strings.HasSuffix(r.Path, "/in/the/table"); (got != 403) != want {
			t.Errorf("%s %s as a viewer: got %d", r.Method, r.Path, got)
		}
		for _, tt := range []struct {
			caller string
			want   int
		}{
			{"", 401}, {"Bearer", 401}, {"Bearer ", 401}, {"Bearer guessed", 401}, {"Bearer " + user + "x", 401},
			{"Basic " + user, 401}, {user, 401}, {"Bearer " + user, 403}, {"Bearer " + join, 403},
			{"cell :id", 403}, {"cell other", 403}, {"cell ", 403},
		} {
			if got := ask(s, r.Method, r.Path, tt.caller); got != tt.want && tt.caller != right && tt.caller != too {
				t.Errorf("%s %s with %q: got %d, want %d", r.Method, r.Path, tt.caller, got, tt.want)
			}
		}
		got := ask(s, r.Method, r.Path, right)
		if open := got != 401 && got != 403; open == strings.HasSuffix(r.Path, "/in/the/table") {
			t.Errorf("%s %s as %q: got %d", r.Method, r.Path, right, got)
		}
	}
}

const aViewer = "token of a viewer"

// viewers are Users of whom each with the right token is a viewer.
type noUsers = Users

type viewers struct{ noUsers }

func (viewers) Bearer(token string) (Caller, error) {
	if token == aViewer {
		return Caller{Name: "vic", Role: RoleViewer, Since: time.Unix(1, 0)}, nil
	}
	return Caller{}, app.Unauthorized("no")
}

func TestPathsThatAreNotThereRefuseToo(t *testing.T) {
	s := NewServer(ServerConfig{
		Auth: Tokens{User: HashToken("u"), Join: HashToken("c")},
		Log:  slog.New(slog.DiscardHandler), Done: context.Background(),
	}).(*server)
	for _, tt := range []struct {
		method, path, header string
		want                 int
	}{
		{"GET", "/api/v1/nothing", "", 401},
		{"GET", "/api/v1/nothing", "Bearer c", 403},
		{"GET", "/api/v1/nothing", "cell c", 403},
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

func (o odd) Role(string) (Role, error) { return o.role, nil }

func (o odd) Cell(*x509.Certificate) (string, context.Context, error) {
	panic("no certificate is shown")
}

func TestOnlyTheRoleOfThePathOpensIt(t *testing.T) {
	for _, role := range []Role{roleAnyone, roleBoth, roleReader, "admin"} {
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
	both := Tokens{User: HashToken("u"), Join: HashToken("c")}
	for _, tt := range []struct {
		tokens Tokens
		token  string
		want   Role
	}{
		{both, "u", RoleUser}, {both, "c", RoleJoin}, {both, "", ""}, {both, "x", ""},
		{Tokens{Join: HashToken("c")}, "u", ""}, {Tokens{}, "", ""},
		{Tokens{User: HashToken("")}, "", ""},
	} {
		if got, err := tt.tokens.Role(tt.token); got != tt.want || errors.Is(err, app.ErrUnauthorized) != (tt.want == "") {
			t.Errorf("%q: got %q, %v, want %q", tt.token, got, err, tt.want)
		}
	}
}

// ask returns the status of a request, or 500 where a backend was missing. The
// caller is an Authorization header, or "cell " and the ID in a certificate.
func ask(s http.Handler, method, path, caller string) int {
	req := httptest.NewRequest(method, path, strings.NewReader("{}"))
	if id, ok := strings.CutPrefix(caller, "cell "); ok {
		cert := &x509.Certificate{Subject: pkix.Name{CommonName: id}}
		req.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert}, VerifiedChains: [][]*x509.Certificate{{cert}}}
	} else if caller != "" {
		req.Header.Set("Authorization", caller)
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
