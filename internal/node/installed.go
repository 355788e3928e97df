package node

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"

	"lattice/api"
	"lattice/app"
	"lattice/cells/network"
	"lattice/internal/config"
	"lattice/internal/pki"
)

// Joined reports whether this node is a cell that joined a brain, which takes it
// still, as far as it answers.
func Joined(ctx context.Context, c config.Common) (bool, error) {
	s, err := openStay(filepath.Join(c.DataDir, "cell", "join.json"))
	if err != nil {
		return false, err
	}
	j := s.known()
	if j.URL == "" {
		return false, nil
	}
	client, err := api.NewClient(api.ClientConfig{URL: j.URL, CAHash: j.CAHash, Certificate: s.certificate, Timeout: joinTimeout})
	if err != nil {
		return false, err
	}
	defer client.Close()
	enough := errors.New("enough")
	err = client.Membership(ctx, j.Cell, func(api.Membership) error { return enough })
	return !errors.Is(err, app.ErrUnauthorized), nil
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
