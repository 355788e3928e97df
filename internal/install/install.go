// Package install makes lattice a service of this machine, and takes it away
// again: binary, systemd unit, configuration file and, on request, a firewall.
// What is there already and right is left alone, so that the same order twice
// changes nothing; what differs is replaced, and the service restarted, which
// stops no app. How lattice runs is the configuration's business, not this
// package's.
package install

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"lattice/app"
)

// The roles a machine can have.
const (
	RoleBrain = "brain"
	RoleCell  = "cell"
	RoleUp    = "up" // both
)

// Where everything is.
const (
	Binary = "/usr/local/bin/lattice"
	Folder = "/etc/lattice"
	Config = Folder + "/lattice.yaml"
	Token  = Folder + "/join-token" // until the cell has joined
	Unit   = "lattice.service"

	link         = "/usr/local/bin/ltc"
	unitPath     = "/etc/systemd/system/" + Unit
	firewallUnit = "lattice-firewall.service"
	firewallPath = "/etc/systemd/system/" + firewallUnit
	firewallFile = Folder + "/firewall.nft"
)

// A Plan is how the machine shall be.
type Plan struct {
	Role     string
	Binary   string // the file to install
	Settings []Pair // of the configuration file, in its order
	DataDir  string
	StopTime int       // seconds that the service may take to stop
	Join     *Join     // how a cell joins; nil: it has joined
	Firewall *Firewall // nil: leave it to others
}

// A Pair is a line of the configuration file.
type Pair struct{ Key, Value string }

// Join is what a cell needs to join.
type Join struct {
	Brain string
	Token string // a secret
}

// Check returns app.ErrInvalid when this machine can't be made what p says.
func (p Plan) Check() error {
	if _, err := os.Stat("/run/systemd/system"); err != nil {
		return app.Invalid("this machine's init is not systemd, which the service needs: use `lattice %s --detach`", p.Role)
	}
	if os.Geteuid() != 0 {
		return app.Invalid("a service of the machine needs root: use sudo")
	}
	have, err := installedRole()
	if err != nil {
		return err
	}
	if have != "" && have != p.Role && !(have == RoleBrain && p.Role == RoleUp) {
		return app.Invalid("lattice is installed here as %s, and that can't become %s: what runs would be lost; `lattice uninstall` comes first", have, p.Role)
	}
	return nil
}

// Files returns what Apply writes beside the binary, without the join token.
func (p Plan) Files() []File {
	files := []File{
		{Path: Config, Mode: 0o600, Text: p.config()},
		{Path: unitPath, Mode: 0o644, Text: p.unit()},
	}
	if p.Firewall != nil {
		files = append(files,
			File{Path: firewallFile, Mode: 0o644, Text: p.Firewall.rules(p.Role)},
			File{Path: firewallPath, Mode: 0o644, Text: p.Firewall.unit()})
	}
	return files
}

// Apply makes the machine as p says, and returns when the service is ready. It
// tells what it does with say, and reports whether it had to do anything.
func (p Plan) Apply(ctx context.Context, say func(format string, args ...any)) (changed bool, err error) {
	if p.Firewall != nil {
		if err := p.Firewall.check(); err != nil {
			return false, err
		}
	}
	if err := os.MkdirAll(p.DataDir, 0o700); err != nil {
		return false, fmt.Errorf("make the data folder: %w", err)
	}
	wrote, err := p.write(say)
	if err != nil {
		return false, err
	}
	if len(wrote) > 0 {
		if err := systemctl(ctx, "daemon-reload"); err != nil {
			return true, err
		}
	}
	if p.Firewall != nil {
		if err := p.raise(ctx, slices.Contains(wrote, firewallFile) || slices.Contains(wrote, firewallPath), say); err != nil {
			return true, err
		}
	}
	started, err := p.start(ctx, slices.ContainsFunc(wrote, func(path string) bool { return path != firewallFile && path != firewallPath }), say)
	return len(wrote) > 0 || started, err
}

// write writes what is not as it should be, and returns the paths.
func (p Plan) write(say func(string, ...any)) (wrote []string, err error) {
	note := func(path string, changed bool, e error) {
		if err = errors.Join(err, e); changed {
			wrote = append(wrote, path)
			say("wrote %s", path)
		}
	}
	changed, e := putBinary(p.Binary)
	note(Binary, changed, e)
	changed, e = putLink(link, filepath.Base(Binary))
	note(link, changed, e)
	files := p.Files()
	if p.Join != nil {
		files = append(files, File{Path: Token, Mode: 0o600, Text: p.Join.Token + "\n"})
	}
	for _, f := range files {
		changed, e := f.put()
		note(f.Path, changed, e)
	}
	return wrote, err
}

// start sees to it that the service runs, with what is installed now.
func (p Plan) start(ctx context.Context, changed bool, say func(string, ...any)) (bool, error) {
	if err := systemctl(ctx, "enable", "--quiet", Unit); err != nil {
		return false, err
	}
	verb := "start"
	switch active := Active(ctx); {
	case active && !changed:
		return false, nil
	case active:
		say("restarting lattice; apps go on")
		verb = "restart"
	default:
		say("starting lattice")
	}
	if err := systemctl(ctx, verb, Unit); err != nil {
		return true, fmt.Errorf("the service did not come up: %w\n%s", err, journal(ctx))
	}
	return true, nil
}

// raise puts the firewall up.
func (p Plan) raise(ctx context.Context, changed bool, say func(string, ...any)) error {
	if err := systemctl(ctx, "enable", "--quiet", firewallUnit); err != nil {
		return err
	}
	if active(ctx, firewallUnit) && !changed {
		return nil
	}
	say("raising the firewall")
	return systemctl(ctx, "restart", firewallUnit)
}

// Joined takes out of the configuration what was only needed to join, without
// a restart: the cell has its certificate now.
func (p Plan) Joined() error {
	p.Join = nil
	_, err := File{Path: Config, Mode: 0o600, Text: p.config()}.put()
	return errors.Join(err, remove(Token))
}

// SaveAccess keeps what a client elsewhere needs beside its configuration, for
// whoever may read it there.
func SaveAccess(token, ca string) error {
	for _, f := range []File{{Path: Folder + "/token", Mode: 0o600, Text: token + "\n"}, {Path: Folder + "/ca.crt", Mode: 0o644, Text: ca}} {
		if _, err := f.put(); err != nil {
			return err
		}
	}
	return nil
}

// Remove stops the service and takes away what Apply made, but for the binary
// itself; the data folder and what runs are not its business.
func Remove(ctx context.Context, say func(format string, args ...any)) error {
	var errs []error
	for _, unit := range []string{Unit, firewallUnit} {
		if _, err := os.Stat("/etc/systemd/system/" + unit); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		say("removing %s", unit)
		errs = append(errs, systemctl(ctx, "disable", "--quiet", "--now", unit), remove("/etc/systemd/system/"+unit))
	}
	say("removing %s", Folder)
	errs = append(errs, os.RemoveAll(Folder))
	if err := errors.Join(errs...); err != nil {
		return err
	}
	_ = systemctl(ctx, "reset-failed", Unit) // it is unknown unless it had failed
	return systemctl(ctx, "daemon-reload")
}

// RemoveBinary deletes the binary and its symlink.
func RemoveBinary() error { return errors.Join(remove(link), remove(Binary)) }

// Installed reports whether there is something for Remove.
func Installed() bool {
	for _, path := range []string{unitPath, Folder} {
		if _, err := os.Stat(path); err == nil {
			return true
		}
	}
	return false
}

func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
