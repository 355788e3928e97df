package node

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"

	"lattice/cells/network"
	"lattice/internal/config"
	"lattice/internal/pki"
)

// Joined returns the URL of the brain whose cell this node is; empty: it has
// not joined one.
func Joined(c config.Common) (string, error) {
	s, err := openStay(filepath.Join(c.DataDir, "cell", "join.json"))
	if err != nil {
		return "", err
	}
	return s.known().URL, nil
}

// Offer returns what a user needs to reach the brain of this machine from
// elsewhere, or nothing when none has ever run here.
func Offer(c config.BrainConfig) (Ready, error) {
	dir := filepath.Join(c.DataDir, "brain")
	if _, err := os.Stat(filepath.Join(dir, "secrets.json")); errors.Is(err, fs.ErrNotExist) {
		return Ready{}, nil
	}
	ca, err := pki.OpenCA(dir)
	if err != nil {
		return Ready{}, err
	}
	secrets, err := pki.OpenSecrets(dir)
	if err != nil {
		return Ready{}, err
	}
	host, port, err := net.SplitHostPort(c.API)
	if err != nil {
		return Ready{}, err
	}
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = c.Advertise
	}
	return Ready{
		API: "https://" + net.JoinHostPort(host, port), CA: string(ca.PEM()), Token: string(secrets.Admin()),
		Domain: c.Domain, Address: joinAddress(c.Advertise, port), DataDir: c.DataDir,
	}, nil
}

// AppPorts returns the first and the last of the ports that a cell has for
// routers elsewhere.
func AppPorts() [2]int { return [2]int{network.DefaultFirstPort, network.DefaultLastPort} }
