package node

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestAccessFormats(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for format, want := range map[string]string{
		"combined":                     `1.2.3.4 - - [02/Jan/2026:03:04:05 +0000] "GET /a?b=\"\x1b[2J HTTP/1.1" 200 512 "-" "me"`,
		"{code} in {took}s by {index}": "200 in 0.0015s by 2",
		"always the same":              "always the same",
		"{request_id}{host}":           "r1web.lab",
	} {
		form, err := newAccessFormat(format)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(form(nil, access("web", at))); got != want {
			t.Errorf("%s: got %s, want %s", format, got, want)
		}
	}
	form, err := newAccessFormat("json")
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(form(nil, access("web", at)), &got); err != nil || got["target"] != access("web", at).Target || got["code"] != 200.0 {
		t.Errorf("json: got %v, %v", got, err)
	}
	for _, bad := range []string{"{colour}", "{code", "{}"} {
		if _, err := newAccessFormat(bad); err == nil || !strings.Contains(err.Error(), "stands for nothing") {
			t.Errorf("%s: got %v", bad, err)
		}
	}
}
