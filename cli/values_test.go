package cli

import (
	"maps"
	"testing"

	"lattice/app"
)

func TestMegabytes(t *testing.T) {
	for in, want := range map[string]int{
		"0": 0, "512": 512, "512M": 512, "512m": 512, "512MB": 512, "512MiB": 512,
		"1G": 1024, "1g": 1024, "1GB": 1024, "2GiB": 2048, "0.5G": 512, "1.5G": 1536, " 64 ": 64,
		"": -1, "-1": -1, "1.3": -1, "0.3G": -1, "x": -1, "G": -1, "1T": -1, "NaN": -1, "inf": -1, "1e99": -1, "9999999999G": -1, "0x10": -1,
	} {
		got := megabytes(-1)
		if err := got.Set(in); (err != nil) != (want < 0) || int(got) != want {
			t.Errorf("%q: got %d, %v, want %d", in, got, err, want)
		}
	}
}

func TestParseRoute(t *testing.T) {
	for in, want := range map[string]app.Route{
		"web":                    {Host: "web"},
		"WWW.Example.com":        {Host: "www.example.com"},
		"*.example.com":          {Host: "*.example.com"},
		"web:8080":               {Host: "web", Port: 8080},
		"web/":                   {Host: "web", Path: "/"},
		"web/api/v1":             {Host: "web", Path: "/api/v1"},
		"web/api:9090":           {Host: "web", Path: "/api", Port: 9090},
		"web:9090/api":           {Host: "web", Path: "/api", Port: 9090},
		"www.example.com/A/b:80": {Host: "www.example.com", Path: "/A/b", Port: 80},
	} {
		if got, err := parseRoute(in); err != nil || got != want {
			t.Errorf("%q: got %+v, %v, want %+v", in, got, err, want)
		}
	}
	for _, in := range []string{"", ":80", "/path", "web:", "web:0", "web:65536", "web:x", "web/a:", "web:1/a:2", "http://web"} {
		if got, err := parseRoute(in); err == nil {
			t.Errorf("%q: got %+v, want an error", in, got)
		}
	}
}

func TestParseEnvFile(t *testing.T) {
	caller := func(name string) (string, bool) {
		return "callers", name == "KNOWN"
	}
	got, err := parseEnvFile("\ufeff# comment\nA=1\r\n\n  B = two \nC=\nKNOWN\nD=a=b#c\nE=\"q\"\nA=2", caller)
	want := map[string]string{"A": "2", "C": "", "KNOWN": "callers", "D": "a=b#c", "E": `"q"`}
	if err == nil {
		t.Errorf("a name that ends with a space: got %v, want an error", got)
	}
	got, err = parseEnvFile("\ufeff# comment\nA=1\r\n\n  \nC=\nKNOWN\nD=a=b#c\nE=\"q\"\nA=2", caller)
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	for _, text := range []string{"UNKNOWN", "=1", "a b", "a\x00b=1"} {
		if got, err := parseEnvFile(text, caller); err == nil {
			t.Errorf("%q: got %v, want an error", text, got)
		}
	}
}

func FuzzParseEnvFile(f *testing.F) {
	f.Add("A=1\nB=\n#c\n\nC")
	f.Add("\ufeff=\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		env, err := parseEnvFile(text, func(string) (string, bool) { return "", false })
		if err != nil {
			return
		}
		for name, value := range env {
			again, err := parseEnv([]string{name + "=" + value}, nil)
			if err != nil || again[name] != value {
				t.Errorf("%q=%q came back as %v, %v", name, value, again, err)
			}
		}
	})
}

func FuzzParseRoute(f *testing.F) {
	f.Add("web.example.com/a:80")
	f.Add("a:1/b:2")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := parseRoute(text)
		if err == nil && (r.Host == "" || r.Port < 0 || r.Port > 65535 || r.Path != "" && r.Path[0] != '/') {
			t.Errorf("%q became %+v", text, r)
		}
	})
}

func FuzzMegabytes(f *testing.F) {
	f.Add("1.5G")
	f.Add("512MiB")
	f.Fuzz(func(t *testing.T, text string) {
		var m megabytes
		if err := m.Set(text); err == nil && m < 0 {
			t.Errorf("%q became %d", text, m)
		}
	})
}
