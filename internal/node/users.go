package node

import (
	"lattice/api"
	"lattice/internal/pki"
)

// users is api.Users.
type users struct {
	kept *pki.Users
	ca   *pki.CA
}

func (u users) Users() []api.UserStatus {
	var all []api.UserStatus
	for _, user := range u.kept.List() {
		all = append(all, userStatus(user))
	}
	return all
}

func userStatus(u pki.User) api.UserStatus {
	return api.UserStatus{Name: u.Name, Role: string(u.Role), Password: u.Password, CreatedAt: u.Created, ChangedAt: u.Changed}
}

func (u users) AddUser(r api.UserRequest) (api.NewUser, error) {
	user, secret, err := u.kept.Add(r.Name, pki.Role(r.Role), pki.Secret(r.Password))
	if err != nil {
		return api.NewUser{}, err
	}
	return api.NewUser{UserStatus: userStatus(user), Token: u.token(secret)}, nil
}

func (u users) token(secret pki.Secret) string {
	return pki.Token{CA: u.ca.Hash(), Secret: secret}.Reveal()
}

func (u users) ChangeUser(name string, r api.UserChange) (api.NewUser, error) {
	if r.Password != "" {
		user, err := u.kept.SetPassword(name, pki.Secret(r.Password))
		return api.NewUser{UserStatus: userStatus(user)}, err
	}
	user, secret, err := u.kept.NewToken(name)
	if err != nil {
		return api.NewUser{}, err
	}
	return api.NewUser{UserStatus: userStatus(user), Token: u.token(secret)}, nil
}

func (u users) RemoveUser(name string) error { return u.kept.Remove(name) }

func (u users) Login(name, password string) (api.Caller, error) {
	user, err := u.kept.Login(name, password)
	return asCaller(user), err
}

func (u users) Bearer(token string) (api.Caller, error) {
	user, err := u.kept.Bearer(token)
	return asCaller(user), err
}

func (u users) Current(name string) (api.Caller, bool) {
	user, ok := u.kept.Find(name)
	return asCaller(user), ok
}

func asCaller(u pki.User) api.Caller {
	role := api.RoleViewer
	if u.Role == pki.RoleAdmin {
		role = api.RoleUser
	}
	return api.Caller{Name: u.Name, Role: role, Since: u.Changed}
}
