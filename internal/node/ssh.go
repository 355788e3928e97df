package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"

	"lattice/api"
	"lattice/app"
	"lattice/internal/config"
	"lattice/internal/pki"
	"lattice/sessions"
	"lattice/sessions/sshd"
)

// execs is api.Execs.
type execs struct {
	*sessions.Broker
	b *brain
}

func (e execs) Find(name string, index int) (app.SessionPlace, error) {
	st, err := e.b.sched.Status(name)
	if err != nil {
		return app.SessionPlace{}, err
	}
	return sessions.Find(st, index)
}

func (e execs) FindTask(name string) (app.SessionPlace, error) {
	t, err := e.b.sched.Task(name)
	if err != nil {
		return app.SessionPlace{}, err
	}
	return sessions.FindTask(t)
}

func (e execs) Open(ctx, in context.Context, o app.SessionOrder) (app.Link, error) {
	s, err := e.Broker.Open(ctx, in, o)
	if err != nil {
		return nil, err // not a nil in an interface
	}
	return s, nil
}

// sshPort is the SSH port as far as it is known before the brain runs.
type sshPort struct {
	ln   net.Listener // nil: there is none
	host sshd.HostKey
	keys *sshd.Keys
}

// listenSSH opens what the SSH port needs. When none is configured it is 2222,
// or none where that is taken; the note says so.
func (b *brain) listenSSH(dir string) (err error) {
	b.ssh = &sshPort{}
	if b.ssh.keys, err = sshd.OpenKeys(filepath.Join(dir, "ssh_keys"), saveFile); err != nil {
		return err
	}
	if b.ssh.host, err = sshd.OpenHostKey(filepath.Join(dir, "ssh_host_key"), saveFile); err != nil {
		return err
	}
	switch b.cfg.SSH {
	case config.SSHOff:
	case "":
		if b.ssh.ln, err = b.sockets.Listen("ssh", ":2222"); err != nil {
			b.ssh.ln = nil
			note := "port 2222 is in use, so there is no SSH port (`ltc ssh` works all the same); choose one with --ssh"
			if b.note != "" {
				note = b.note + "\n" + note
			}
			b.note = note
		}
	default:
		if b.ssh.ln, err = b.sockets.Listen("ssh", b.cfg.SSH); err != nil {
			b.ssh.ln = nil
			return fmt.Errorf("the SSH port can't be %s: %w", b.cfg.SSH, err)
		}
	}
	return nil
}

// info is what the API says of the port.
func (p *sshPort) info() *api.SSH {
	if p.ln == nil {
		return nil
	}
	n, _ := strconv.Atoi(port(p.ln)) // of a listener
	return &api.SSH{Port: n, HostKey: p.host.Public(), Fingerprint: p.host.Fingerprint()}
}

func (b *brain) serveSSH(ctx context.Context) error {
	e := execs{b.broker, b}
	return sshd.New(sshd.Config{
		HostKey: b.ssh.host, Keys: b.ssh.keys, Password: b.guestByToken, User: b.guestByName,
		Find: func(name string, index int) (app.SessionPlace, error) {
			place, err := e.Find(name, index)
			if errors.Is(err, app.ErrNotFound) && index == app.NoIndex {
				if task, taskErr := e.FindTask(name); !errors.Is(taskErr, app.ErrNotFound) {
					return task, taskErr
				}
			}
			return place, err
		},
		Open: e.Open, Log: b.log.With("part", "ssh"),
	}).Serve(ctx, b.ssh.ln)
}

// adminName is whom the admin token stands for.
const adminName = "admin"

// guestByToken lets in who may change things.
func (b *brain) guestByToken(token string) (sshd.Guest, error) {
	if role, err := b.secrets.Role(token); err == nil && role == pki.RoleAdmin {
		return b.guestByName(adminName)
	}
	user, err := b.users.Bearer(token)
	if err != nil {
		return sshd.Guest{}, err
	}
	g, err := b.guestByName(user.Name)
	g.Welcome = func() error { return b.stillAdmin(user.Name, user) }
	return g, err
}

// guestByName lets in the user of that name; a key that somebody added with the
// admin token is that one's.
func (b *brain) guestByName(name string) (sshd.Guest, error) {
	if name == adminName {
		return sshd.Guest{Name: name, Welcome: func() error { return nil }}, nil
	}
	user, _ := b.users.Find(name)
	g := sshd.Guest{Name: name, Welcome: func() error { return b.stillAdmin(name, user) }}
	return g, g.Welcome()
}

// stillAdmin says why the user must go who was let in as seen.
func (b *brain) stillAdmin(name string, seen pki.User) error {
	user, ok := b.users.Find(name)
	switch {
	case !ok:
		return app.Unauthorized("there is no user %s any more", name)
	case user.Role != pki.RoleAdmin:
		return app.Unauthorized("%s may look, but not open sessions: ask an admin", name)
	case !user.Changed.Equal(seen.Changed):
		return app.Unauthorized("the token or password of %s was changed: log in again", name)
	}
	return nil
}

// sshKeys is api.SSHKeys.
type sshKeys struct{ kept *sshd.Keys }

func (k sshKeys) SSHKeys() []api.SSHKey {
	var all []api.SSHKey
	for _, key := range k.kept.List() {
		all = append(all, sshKey(key))
	}
	return all
}

func (k sshKeys) AddSSHKey(r api.SSHKeyRequest) (api.SSHKey, error) {
	key, err := k.kept.Add(r.Name, r.User, r.Key)
	if err != nil {
		return api.SSHKey{}, err
	}
	return sshKey(key), nil
}

func (k sshKeys) RemoveSSHKey(name string) error { return k.kept.Remove(name) }

func sshKey(k sshd.Key) api.SSHKey {
	return api.SSHKey{Name: k.Name, Fingerprint: k.Fingerprint(), Type: k.Type(), User: k.User, CreatedAt: k.Created}
}
