package cli

import (
	"fmt"
	"sync"

	"lattice/api"
	"lattice/app"
)

// fakeUsers are the users of a fake brain.
type fakeUsers struct {
	mu  sync.Mutex
	all []api.UserStatus
	n   int // tokens made
}

func (u *fakeUsers) Users() []api.UserStatus {
	u.mu.Lock()
	defer u.mu.Unlock()
	return append([]api.UserStatus{}, u.all...)
}

func (u *fakeUsers) find(name string) (int, error) {
	for i, one := range u.all {
		if one.Name == name {
			return i, nil
		}
	}
	return 0, fmt.Errorf("user %q %w", name, app.ErrNotFound)
}

func (u *fakeUsers) token() string {
	u.n++
	return fmt.Sprintf("lat1.hash.token-%d", u.n)
}

func (u *fakeUsers) AddUser(r api.UserRequest) (api.NewUser, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if _, err := u.find(r.Name); err == nil {
		return api.NewUser{}, fmt.Errorf("user %s %w", r.Name, app.ErrExists)
	}
	s := api.UserStatus{Name: r.Name, Role: r.Role, Password: r.Password != ""}
	u.all = append(u.all, s)
	return api.NewUser{UserStatus: s, Token: u.token()}, nil
}

func (u *fakeUsers) ChangeUser(name string, r api.UserChange) (api.NewUser, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	i, err := u.find(name)
	if err != nil {
		return api.NewUser{}, err
	}
	if r.Password != "" {
		u.all[i].Password = true
		return api.NewUser{UserStatus: u.all[i]}, nil
	}
	return api.NewUser{UserStatus: u.all[i], Token: u.token()}, nil
}

func (u *fakeUsers) RemoveUser(name string) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	i, err := u.find(name)
	if err == nil {
		u.all = append(u.all[:i], u.all[i+1:]...)
	}
	return err
}

func (u *fakeUsers) Login(string, string) (api.Caller, error) {
	return api.Caller{}, app.Unauthorized("nobody has a password here")
}

func (u *fakeUsers) Bearer(string) (api.Caller, error) {
	return api.Caller{}, app.Unauthorized("not known")
}

func (u *fakeUsers) Current(string) (api.Caller, bool) { return api.Caller{}, false }
