package images

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"lattice/app"
)

// A source is a way to have an image: its registry or the mirror of that, as a
// user or as nobody.
type source struct {
	app.Registry
	password string
}

// key is unique among the sources of all repositories.
func (s source) key(x ref) string {
	return x.name() + "\x00" + s.Mirror + "\x00" + s.Username + "\x00" + s.password
}

// sources returns how the image may be had: with the given login and no other if
// there is one, else with those of apps that have it, and that of the registry.
// A mirror comes before what it stands for, which isn't sent the login that is for
// the mirror.
func (s *Settings) sources(r ref, given app.Login) ([]source, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.now.Registries[r.host]
	known.Host = r.host
	all, err := s.logins(r, given, known.Registry)
	if err != nil {
		return nil, err
	}
	origins := slices.Clone(all)
	if given.Username == "" {
		password, err := s.decrypt(known.Sealed, r.host)
		if err != nil {
			return nil, err
		}
		all = append(all, source{known.Registry, password})
		known.Username = ""
		origins = append(origins, source{known.Registry, ""})
	}
	if known.Mirror == "" {
		return all, nil
	}
	for i := range origins {
		origins[i].Mirror = ""
	}
	return append(all, origins...), nil
}

// logins returns how a registry is asked as the users that were given for the
// image. s.mu must be held.
func (s *Settings) logins(r ref, given app.Login, known app.Registry) (all []source, err error) {
	as := func(username, password string) {
		known.Username = username
		all = append(all, source{known, password})
	}
	if given.Username != "" {
		as(given.Username, given.Password)
		return all, nil
	}
	for _, key := range slices.Sorted(maps.Keys(s.now.Logins)) {
		l := s.now.Logins[key]
		if l.Repo != r.name() {
			continue
		}
		password, err := s.decrypt(l.Sealed, key)
		if err != nil {
			return nil, err
		}
		as(l.Username, password)
	}
	return all, nil
}

// An opened upstream is used again for a while, as to log in takes long. What
// failed is, for as long, asked when nothing else works.
type opened struct {
	*upstream // nil: it failed
	at        time.Time
}

const (
	openFor    = 2 * time.Minute // shorter than the life of the tokens that registries give
	mirrorTime = 5 * time.Second // for a mirror to answer, before its registry is asked
)

// from calls try with each way to have the image, until one works. Its error is a
// sentence. A login goes before those that are known.
func (r *Registry) from(ctx context.Context, x ref, as app.Login, try func(*upstream) error) error {
	all, err := r.cfg.Settings.sources(x, as)
	if err != nil {
		return err
	}
	var mirror, origin error // the first of each
	for _, s := range r.sort(x, all) {
		u, err := r.upstream(ctx, x, s)
		if err == nil {
			if err = try(u); err == nil {
				if mirror != nil && s.Mirror == "" {
					r.cfg.Log.Warn("the registry is asked, as its mirror can't help", "err", mirror)
				}
				return nil
			}
		}
		if errors.Is(ctx.Err(), context.Canceled) {
			return ctx.Err()
		}
		r.note(s.key(x), nil)
		first := &origin
		if s.Mirror != "" {
			first = &mirror
		}
		if *first == nil {
			*first = explain(x, s, err)
		}
		if ctx.Err() != nil {
			break
		}
	}
	return both(x, mirror, origin)
}

// lately returns what is remembered of a source; ok says that something is.
func (r *Registry) lately(key string) (o opened, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	o, ok = r.open[key]
	return o, ok && time.Since(o.at) < openFor
}

// sort returns the sources with those behind the others that failed lately.
func (r *Registry) sort(x ref, all []source) []source {
	var failed []source
	all = slices.DeleteFunc(all, func(s source) bool {
		o, ok := r.lately(s.key(x))
		if ok && o.upstream == nil {
			failed = append(failed, s)
			return true
		}
		return false
	})
	return append(all, failed...)
}

func (r *Registry) upstream(ctx context.Context, x ref, s source) (*upstream, error) {
	if o, ok := r.lately(s.key(x)); ok && o.upstream != nil {
		return o.upstream, nil
	}
	if s.Mirror != "" {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, mirrorTime)
		defer cancel()
	}
	u, err := open(ctx, x, s)
	if err != nil {
		return nil, err
	}
	r.note(s.key(x), u)
	return u, nil
}

// note remembers that a source works, or with nil that it doesn't.
func (r *Registry) note(key string, u *upstream) {
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.DeleteFunc(r.open, func(_ string, o opened) bool { return time.Since(o.at) >= openFor })
	r.open[key] = opened{u, time.Now()}
}
