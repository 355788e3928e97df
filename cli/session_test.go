package cli

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"lattice/api"
	"lattice/app"
	"lattice/internal/tarball"
	"lattice/sessions"
	"lattice/sessions/sessionstest"
	"lattice/sessions/sshd"
)

// fakeExecs plays sessions in the instances of a fakeBrain. They know these
// commands: cat, which copies its input; exit CODE; args, which prints what it
// was called with; break, of which the connection breaks. Files are in a folder.
type fakeExecs struct {
	*fakeBrain
	dir  string
	keys *sshd.Keys
}

func newFakeExecs(t testing.TB, b *fakeBrain) fakeExecs {
	t.Helper()
	dir := t.TempDir()
	save := func(path string, data []byte) error { return os.WriteFile(path, data, 0o600) }
	keys, err := sshd.OpenKeys(filepath.Join(dir, "keys"), save)
	if err != nil {
		t.Fatal(err)
	}
	return fakeExecs{b, dir, keys}
}

func (f fakeExecs) Find(name string, index int) (app.SessionPlace, error) {
	st, err := f.Status(name)
	if err != nil {
		return app.SessionPlace{}, err
	}
	return sessions.Find(st, index)
}

func (fakeExecs) FindTask(string) (app.SessionPlace, error) {
	return app.SessionPlace{}, app.ErrNotFound
}

func (fakeExecs) Wanted(string) []app.Session                            { return nil }
func (fakeExecs) WantedChanged(string) <-chan struct{}                   { return nil }
func (fakeExecs) Waits(string, string) error                             { return app.ErrNotFound }
func (fakeExecs) Attend(context.Context, string, string, app.Link) error { return app.ErrNotFound }

func (f fakeExecs) Open(_, _ context.Context, o app.SessionOrder) (app.Link, error) {
	brain, cell := sessionstest.Pair()
	go func() {
		if end, ok := f.play(o, cell); ok {
			_ = app.SendEnd(cell, end)
		} else {
			cell.Abort()
		}
	}()
	return brain, nil
}

func (f fakeExecs) play(o app.SessionOrder, cell app.Link) (end app.SessionEnd, ok bool) {
	switch r := o.Request; r.Kind {
	case app.SessionExec:
		return command(o, cell, r.Command)
	case app.SessionShell:
		return command(o, cell, []string{"args", "shell", r.Line})
	case app.SessionRead:
		w := &linkWriter{cell, app.ChanOut}
		if err := tarball.Write(w, filepath.Join(f.dir, r.Path), func(string, string) {}); err != nil {
			_ = cell.Send(app.ChanErr, []byte("no such file"))
			return app.SessionEnd{Code: 1}, true
		}
		return app.SessionEnd{}, true
	case app.SessionWrite:
		in := input(cell)
		if err := tarball.Extract(bytes.NewReader(in), filepath.Join(f.dir, r.Path), tarball.Options{}); err != nil {
			_ = cell.Send(app.ChanErr, []byte("permission denied"))
			return app.SessionEnd{Code: 1}, true
		}
		return app.SessionEnd{}, true
	}
	return app.SessionEnd{Code: app.SessionBroken, Reason: "not here"}, true
}

func command(o app.SessionOrder, cell app.Link, args []string) (app.SessionEnd, bool) {
	switch args[0] {
	case "cat":
		_ = cell.Send(app.ChanOut, input(cell))
	case "exit":
		n, _ := strconv.Atoi(args[1])
		return app.SessionEnd{Code: n}, true
	case "args":
		_ = cell.Send(app.ChanOut, fmt.Appendf(nil, "%s %q %q\n", o.Place, args[1:], o.Request.Env))
	case "break":
		_ = cell.Send(app.ChanErr, []byte("so far\n"))
		return app.SessionEnd{}, false
	default:
		return app.SessionEnd{Code: 127, Reason: args[0] + " is not in the image's PATH"}, true
	}
	return app.SessionEnd{}, true
}

// input returns all of it.
func input(cell app.Link) (all []byte) {
	for {
		ch, data, err := cell.Receive()
		if err != nil || ch == app.ChanIn && len(data) == 0 {
			return all
		}
		if ch == app.ChanIn {
			all = append(all, data...)
		}
	}
}

func (f fakeExecs) SSHKeys() (all []api.SSHKey) {
	for _, k := range f.keys.List() {
		all = append(all, api.SSHKey{Name: k.Name, Fingerprint: k.Fingerprint(), Type: k.Type(), User: k.User, CreatedAt: k.Created})
	}
	return all
}

func (f fakeExecs) AddSSHKey(r api.SSHKeyRequest) (api.SSHKey, error) {
	if _, err := f.keys.Add(r.Name, r.User, r.Key); err != nil {
		return api.SSHKey{}, err
	}
	all := f.SSHKeys()
	return all[slices.IndexFunc(all, func(k api.SSHKey) bool { return k.User == r.User })], nil
}

func (f fakeExecs) RemoveSSHKey(name string) error { return f.keys.Remove(name) }

func TestParseForward(t *testing.T) {
	for text, want := range map[string]forward{
		"5432:db:5433":                {listen: hostPort{"localhost", 5432}, connect: hostPort{"db", 5433}},
		"0.0.0.0:1:localhost:2":       {listen: hostPort{"0.0.0.0", 1}, connect: hostPort{"localhost", 2}},
		"*:0:h:65535":                 {listen: hostPort{"*", 0}, connect: hostPort{"h", 65535}},
		"[::1]:8080:[2001:db8::1]:80": {listen: hostPort{"::1", 8080}, connect: hostPort{"2001:db8::1", 80}},
		":1:h:2":                      {listen: hostPort{"", 1}, connect: hostPort{"h", 2}},
	} {
		want.original = text
		if got, err := parseForward(text); err != nil || got != want {
			t.Errorf("%s: got %+v %v, want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "1", "1:2", "a:h:1", "1:h:0", "1:h:99999", "1::2", "1:h:2:3:4", "[::1:1:h:2", "[::1]1:h:2", "-1:h:2", "1:h:http"} {
		if got, err := parseForward(text); err == nil {
			t.Errorf("%s: got %+v, want an error", text, got)
		}
	}
}

func FuzzParseForward(f *testing.F) {
	f.Add("[::1]:8080:[::2]:80")
	f.Fuzz(func(t *testing.T, text string) {
		if got, err := parseForward(text); err == nil && (got.connect.port < 1 || got.connect.host == "") {
			t.Fatalf("%q: %+v", text, got)
		}
	})
}

func TestRemotePath(t *testing.T) {
	for text, want := range map[string]string{
		"web:/x": "web /x", "web/1:x": "web/1 x", "web:": "web .", "web:a:b": "web a:b",
		"./web:/x": "", "/web:x": "", "web": "", ":x": "", "../a:b": "",
	} {
		name, path, ok := remotePath(text)
		if got := name + " " + path; ok != (want != "") || ok && got != want {
			t.Errorf("%s: got %q %v, want %q", text, got, ok, want)
		}
	}
}
