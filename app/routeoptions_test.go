package app_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"lattice/app"
)

const bcryptHash = "$2y$05$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234"

func TestRouteOptionsAsTheyAreTyped(t *testing.T) {
	var o app.RouteOptions
	for _, kv := range [][2]string{
		{"balance", "hash"}, {"hash-on", "header:X-User"}, {"sticky", "at"}, {"slow-start", "30s"}, {"max-connections", "5"},
		{"total-timeout", "1m"}, {"retries", "0"}, {"rate-limit", "100/s"}, {"set-request-header", "X-A: b: c"},
		{"remove-response-header", "Server, X-Powered-By"}, {"redirect-https", "true"}, {"basic-auth", "anna:" + bcryptHash},
		{"allow", "10.0.0.0/8"}, {"allow", "::1"}, {"protocol", "h2c"}, {"error-page", "503:<p>a:b</p>"}, {"error-page", "error:x"},
	} {
		if err := o.Set(kv[0], kv[1]); err != nil {
			t.Fatalf("%v: %v", kv, err)
		}
	}
	a := app.App{Name: "web", Image: "x", Routes: []app.Route{{Host: "web", Options: &o}}}.WithDefaults()
	if err := a.Validate(); err != nil {
		t.Error(err)
	}
	text, err := json.Marshal(a.Routes)
	if err != nil {
		t.Fatal(err)
	}
	var back []app.Route
	if err := json.Unmarshal(text, &back); err != nil || !reflect.DeepEqual(back, a.Routes) {
		t.Errorf("got %s back as %+v, %v", text, back, err)
	}
	want := "protocol=h2c balance=hash hash-on=header:X-User sticky=at slow-start=30s max-connections=5 total-timeout=1m0s retries=0 " +
		"rate-limit=100/s set-request-header=X-A: **** remove-response-header=Server,X-Powered-By redirect-https=true " +
		"basic-auth=anna:**** allow=10.0.0.0/8,::1 error-page=503:(10 bytes) error-page=error:(1 bytes)"
	if got := strings.Join(o.Typed(), " "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for _, key := range app.RouteOptionKeys() {
		if err := o.Set(key, ""); err != nil {
			t.Errorf("%s can't be taken away: %v", key, err)
		}
	}
	if a := (app.App{Routes: []app.Route{{Host: "web", Options: &o}}}).WithDefaults(); a.Routes[0].Options != nil {
		t.Errorf("something is left: %+v", a.Routes[0].Options)
	}
}

func TestWrongRouteOptionsAreTold(t *testing.T) {
	for _, tt := range []struct{ key, value, want string }{
		{"protocol", "spdy", "auto, http1 and h2c"},
		{"balance", "random", "round-robin, least-connections and hash"},
		{"balance", "hash", "set hash_on"},
		{"hash-on", "client-ip", "isn't balanced by hash"},
		{"sticky", "a b", "cookie"},
		{"slow-start", "1ms", "it can be 1s to 24h"},
		{"max-connections", "-1", "max_connections"},
		{"max-connections", "x", "no number"},
		{"retries", "1000", "0 to 100"},
		{"rate-limit", "100", "no rate"},
		{"rate-limit", "100/d", "no rate"},
		{"rate-burst", "5", "burst without a rate"},
		{"set-request-header", "X-Forwarded-For: 1", "takes care of that field itself"},
		{"set-request-header", "X-A", "NAME: VALUE"},
		{"set-response-header", "X-A: a\nX-B: b", "control characters"},
		{"add-response-header", "X A: a", "no name of a header field"},
		{"basic-auth", "anna:secret", "htpasswd -nB USER"},
		{"allow", "10.0.0.0/40", "neither an address nor a network"},
		{"redirect-https", "maybe", "not true or false"},
		{"error-page", "503", "no error page"},
		{"error-page", "302:x", "a code from 400 to 599"},
		{"error-page", "6xx:x", "a code from 400 to 599"},
		{"error-page", "503:" + strings.Repeat("x", 33<<10), "it must have 1 to 32768"},
		{"colour", "red", "there is no route option"},
	} {
		var o app.RouteOptions
		err := o.Set(tt.key, tt.value)
		if err == nil {
			err = app.App{Name: "web", Image: "x", Routes: []app.Route{{Host: "web", Options: &o}}}.WithDefaults().Validate()
		}
		if !errors.Is(err, app.ErrInvalid) || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s=%s: got %v, want %q", tt.key, tt.value, err, tt.want)
		}
	}
}
