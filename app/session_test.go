package app_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"lattice/app"
)

func TestSessionRequests(t *testing.T) {
	for text, want := range map[string]string{ // of a good one its title, else "!" and part of the error
		`{"kind":"exec","command":["ls","secret"]}`:                      "exec ls",
		`{"kind":"shell"}`:                                               "shell",
		`{"kind":"shell","line":"PASSWORD=x  psql -c 'select'"}`:         "shell psql",
		`{"kind":"sftp"}`:                                                "sftp",
		`{"kind":"read","path":"/data"}`:                                 "read /data",
		`{"kind":"dial","host":"::1","port":80}`:                         "dial [::1]:80",
		`{"kind":"listen"}`:                                              "listen :0",
		`{"kind":"accept","conn":"x"}`:                                   "accept",
		`{"kind":"shell","tty":true,"size":{"cols":80,"rows":24},"x":1}`: "shell", // of a newer client

		``:                                    "!JSON",
		`{"kind":"dance"}`:                    `!"dance"`,
		`{"kind":"exec"}`:                     "!command",
		`{"kind":"exec","command":[""]}`:      "!command",
		`{"kind":"write"}`:                    "!path",
		`{"kind":"dial","host":"x"}`:          "!port",
		`{"kind":"dial","port":70000}`:        "!port",
		`{"kind":"accept"}`:                   "!connection",
		`{"kind":"shell","env":["1=2"]}`:      "!NAME=value",
		`{"kind":"shell","line":"a\u0000b"}`:  "!NUL",
		`{"kind":"shell","size":{"cols":-1}}`: "!terminal",
		`{"kind":"shell","line":"` + strings.Repeat("x", app.MaxSessionBytes) + `"}`: "!at most",
	} {
		r, err := app.ParseSessionRequest([]byte(text))
		if says, bad := strings.CutPrefix(want, "!"); bad {
			if !errors.Is(err, app.ErrInvalid) || !strings.Contains(err.Error(), says) {
				t.Errorf("%.60s: got %v, want %q", text, err, says)
			}
		} else if err != nil || r.Title() != want {
			t.Errorf("%.60s: got %q %v, want %q", text, r.Title(), err, want)
		}
	}
}

func FuzzParseSessionRequest(f *testing.F) {
	f.Add([]byte(`{"kind":"exec","command":["ls"],"env":["A=b"],"size":{"cols":1,"rows":2}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := app.ParseSessionRequest(b)
		if err != nil {
			return
		}
		_ = r.Title()
		again, err := json.Marshal(r)
		if err == nil {
			_, err = app.ParseSessionRequest(again)
		}
		if err != nil && len(again) <= app.MaxSessionBytes {
			t.Fatalf("%s: %v", again, err)
		}
	})
}
