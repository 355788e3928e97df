package api_test

import (
	"bufio"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"lattice/api"
	"lattice/app"
)

// people are Users in memory, whose passwords are their names backwards.
type people struct {
	mu  sync.Mutex
	all map[string]api.Caller
}

func newPeople() *people {
	return &people{all: map[string]api.Caller{"vic": {Name: "vic", Role: api.RoleViewer, Since: time.Unix(1, 0)}}}
}

func (p *people) Users() []api.UserStatus                      { return nil }
func (p *people) AddUser(api.UserRequest) (api.NewUser, error) { return api.NewUser{}, nil }

func (p *people) ChangeUser(name string, _ api.UserChange) (api.NewUser, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.all[name]
	c.Since = c.Since.Add(time.Hour)
	p.all[name] = c
	return api.NewUser{UserStatus: api.UserStatus{Name: name}}, nil
}

func (p *people) RemoveUser(name string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.all, name)
	return nil
}

func (p *people) Login(name, password string) (api.Caller, error) {
	c, ok := p.Current(name)
	if !ok || password != "the right one" {
		return c, app.Unauthorized("wrong")
	}
	return c, nil
}

func (p *people) Bearer(token string) (api.Caller, error) {
	name, ok := strings.CutPrefix(token, "token-of-")
	c, known := p.Current(name)
	if !ok || !known {
		return c, app.Unauthorized("not known")
	}
	return c, nil
}

func (p *people) Current(name string) (api.Caller, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c, ok := p.all[name]
	return c, ok
}

// secretApp is an app with what a viewer must not see.
func secretApp() app.Status {
	return app.Status{App: app.App{Name: "web", Env: map[string]string{"KEY": "top-secret"}, Routes: []app.Route{{Host: "x", Options: &app.RouteOptions{BasicAuth: []string{"ann:top-secret"}}}}}}
}

func startWithPeople(t *testing.T) (*brain, *people) {
	t.Helper()
	p := newPeople()
	b := &backend{
		statuses: func() []app.Status { return []app.Status{secretApp()} },
		status:   func(string) (app.Status, error) { return secretApp(), nil },
		cells:    func() []app.Cell { return nil },
		scale:    func(string, int) (app.App, error) { return app.App{}, nil },
	}
	return start(t, b, func(c *api.ServerConfig) { c.Users = p }), p
}

// ask sends a request with headers, given as "Name: value".
func (b *brain) ask(t *testing.T, method, path, body string, headers ...string) *http.Response {
	t.Helper()
	req, err := http.NewRequest(method, b.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	resp, err := b.user.Transport().RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

const own = "X-Lattice: 1"

// login returns the header with the cookie of a session.
func (b *brain) login(t *testing.T, body string) string {
	t.Helper()
	resp := b.ask(t, "POST", "/api/v1/session", body, own)
	if resp.StatusCode != 200 || len(resp.Cookies()) != 1 {
		t.Fatalf("login with %s: %s, %v", body, resp.Status, resp.Cookies())
	}
	c := resp.Cookies()[0]
	if !c.HttpOnly || !c.Secure || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || c.Domain != "" || !strings.HasPrefix(c.Name, "__Host-") {
		t.Errorf("the cookie is %+v", c)
	}
	return "Cookie: " + c.Name + "=" + c.Value
}

func TestSessionsStandForTheirUsers(t *testing.T) {
	b, p := startWithPeople(t)
	admin, viewer := b.login(t, `{"token":"`+userToken+`"}`), b.login(t, `{"name":"vic","password":"the right one"}`)
	const scale = "/api/v1/apps/web/instances"
	for _, tt := range []struct {
		cookie, method, path, body string
		want                       int
	}{
		{admin, "GET", "/api/v1/apps", "", 200}, {admin, "PUT", scale, `{"instances":2}`, 200},
		{viewer, "GET", "/api/v1/apps", "", 200}, {viewer, "PUT", scale, `{"instances":2}`, 403}, {viewer, "GET", "/api/v1/users", "", 403},
		{"Cookie: __Host-lattice=guessed", "GET", "/api/v1/apps", "", 401}, {"Cookie: other=x", "GET", "/api/v1/apps", "", 401},
	} {
		if got := b.ask(t, tt.method, tt.path, tt.body, tt.cookie, own).StatusCode; got != tt.want {
			t.Errorf("%s %s with %.20s: got %d, want %d", tt.method, tt.path, tt.cookie, got, tt.want)
		}
	}
	if _, err := p.ChangeUser("vic", api.UserChange{}); err != nil {
		t.Fatal(err)
	}
	if got := b.ask(t, "GET", "/api/v1/apps", "", viewer).StatusCode; got != 401 {
		t.Errorf("after the password was changed: got %d, want 401", got)
	}
	if got := b.ask(t, "DELETE", "/api/v1/session", "", admin, own).StatusCode; got != 204 {
		t.Errorf("log out: %d", got)
	}
	if got := b.ask(t, "GET", "/api/v1/apps", "", admin).StatusCode; got != 401 {
		t.Errorf("after the log out: got %d, want 401", got)
	}
}

func TestOtherSitesCanDoNothingWithASession(t *testing.T) {
	b, _ := startWithPeople(t)
	cookie, host := b.login(t, `{"token":"`+userToken+`"}`), strings.TrimPrefix(b.url, "https://")
	for _, tt := range []struct {
		method  string
		headers []string
		want    int
	}{
		{"PUT", []string{own, "Origin: https://" + host, "Sec-Fetch-Site: same-origin"}, 200},
		{"PUT", nil, 403},
		{"PUT", []string{"Origin: https://" + host}, 403},
		{"PUT", []string{own, "Origin: https://evil.example"}, 403},
		{"PUT", []string{own, "Origin: null"}, 403},
		{"PUT", []string{own, "Sec-Fetch-Site: cross-site"}, 403},
		{"PUT", []string{own, "Sec-Fetch-Site: same-site"}, 403},
		{"PUT", []string{own, "Sec-Fetch-Site: none"}, 403},
		{"GET", []string{"Sec-Fetch-Site: cross-site"}, 403},
		{"GET", []string{"Sec-Fetch-Site: none"}, 200},
		{"GET", []string{"Upgrade: websocket"}, 403},
		{"GET", []string{"Upgrade: websocket", "Origin: https://evil.example"}, 403},
	} {
		path := "/api/v1/apps"
		if tt.method == "PUT" {
			path += "/web/instances"
		}
		if got := b.ask(t, tt.method, path, `{"instances":2}`, append(tt.headers, cookie)...).StatusCode; got != tt.want {
			t.Errorf("%s with %q: got %d, want %d", tt.method, tt.headers, got, tt.want)
		}
	}
	if got := b.ask(t, "POST", "/api/v1/session", `{"token":"`+userToken+`"}`, "Origin: https://evil.example", own).StatusCode; got != 403 {
		t.Errorf("another site logs a browser in: got %d, want 403", got)
	}
}

func TestALinkLogsInOnce(t *testing.T) {
	b, _ := startWithPeople(t)
	l, err := b.client(t, "token-of-vic").LoginLink(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	cookie := b.login(t, `{"code":"`+l.Code+`"}`)
	if got := b.ask(t, "GET", "/api/v1/users", "", cookie).StatusCode; got != 403 {
		t.Errorf("a viewer's link opened %d", got)
	}
	if got := b.ask(t, "POST", "/api/v1/session", `{"code":"`+l.Code+`"}`, own).StatusCode; got != 401 {
		t.Errorf("the link a second time: got %d, want 401", got)
	}
}

func TestGuessingIsSlow(t *testing.T) {
	b, _ := startWithPeople(t)
	const wrong = `{"name":"vic","password":"wrong"}`
	codes := map[int]int{}
	for range 30 {
		codes[b.ask(t, "POST", "/api/v1/session", wrong, own).StatusCode]++
	}
	if codes[401] > 15 || codes[401]+codes[429] != 30 {
		t.Errorf("30 wrong logins at once: %v", codes)
	}
	resp := b.ask(t, "POST", "/api/v1/session", `{"name":"vic","password":"the right one"}`, own)
	if resp.StatusCode != 429 || resp.Header.Get("Retry-After") == "" {
		t.Errorf("the right one after that: %s", resp.Status)
	}
}

func TestViewersSeeNoSecrets(t *testing.T) {
	b, _ := startWithPeople(t)
	for _, path := range []string{"/api/v1/apps", "/api/v1/apps/web"} {
		if _, text := b.raw(t, "GET", path, "token-of-vic", nil); strings.Contains(text, "top-secret") || !strings.Contains(text, "KEY") || !strings.Contains(text, api.Concealed) {
			t.Errorf("%s: %s", path, text)
		}
		if _, text := b.raw(t, "GET", path, userToken, nil); !strings.Contains(text, "top-secret") {
			t.Errorf("%s as an admin: %s", path, text)
		}
	}
	for _, token := range []string{"token-of-vic", userToken} {
		resp := b.ask(t, "GET", "/api/v1/live", "", "Authorization: Bearer "+token)
		for lines := bufio.NewScanner(resp.Body); lines.Scan() && !strings.Contains(lines.Text(), `"complete"`); {
			if strings.Contains(lines.Text(), "top-secret") {
				t.Errorf("the live state has a secret: %s", lines.Text())
			}
		}
	}
}

func TestLiveTellsWhatChanges(t *testing.T) {
	var mu sync.Mutex
	now := []app.Status{{App: app.App{Name: "web"}, Instances: []app.Instance{{ID: "a", App: "web", State: app.Running}, {ID: "b", App: "web", Index: 1, State: app.Claimed}}}}
	b := start(t, &backend{statuses: func() []app.Status { mu.Lock(); defer mu.Unlock(); return now }, cells: func() []app.Cell { return []app.Cell{{ID: "c1"}} }})
	resp := b.ask(t, "GET", "/api/v1/live", "", "Authorization: Bearer "+userToken)
	lines := bufio.NewScanner(resp.Body)
	next := func() (s api.LiveState) {
		for lines.Scan() {
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				if err := json.Unmarshal([]byte(data), &s); err != nil {
					t.Fatal(err)
				}
				return s
			}
		}
		t.Fatalf("the stream ended: %v", lines.Err())
		return s
	}
	if s := next(); !s.Reset || len(s.Apps) != 1 || len(s.Cells) != 1 {
		t.Errorf("first: %+v", s)
	}
	if s := next(); len(s.Instances) != 2 {
		t.Errorf("instances: %+v", s)
	}
	if s := next(); !s.Complete {
		t.Errorf("last of the first: %+v", s)
	}
	mu.Lock()
	now = []app.Status{{App: app.App{Name: "web"}, Instances: []app.Instance{{ID: "b", App: "web", Index: 1, State: app.Running}}}}
	mu.Unlock()
	b.touch()
	s := next()
	if s.Reset || len(s.Apps) != 0 || len(s.Instances) != 1 || s.Instances[0].ID != "b" || s.Gone == nil || len(s.Gone.Instances) != 1 || s.Gone.Instances[0] != "a" {
		t.Errorf("the change: %+v, gone %+v", s, s.Gone)
	}
}
