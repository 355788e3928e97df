package cells

import (
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"lattice/app"
)

// defaultPath is what PATH is when neither image nor user sets it, as Docker has it.
const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// ports returns the container ports of an instance, the primary one first.
func ports(a app.App, img Image) []int {
	switch {
	case len(a.Ports) > 0:
		return a.Ports
	case len(img.Ports) > 0:
		return img.Ports
	}
	return []int{app.DefaultPort}
}

// args returns the command line of an instance.
func args(a app.App, img Image) ([]string, error) {
	all := slices.Concat(a.Command, a.Args)
	if len(a.Command) == 0 {
		rest := img.Cmd
		if len(a.Args) > 0 {
			rest = a.Args
		}
		all = slices.Concat(img.Entrypoint, rest)
	}
	if len(all) > 0 {
		return all, nil
	}
	return nil, fmt.Errorf("%w: the image names none: give one after '--'", ErrCommand)
}

// place is where an instance runs, as it is told in its environment.
type place struct {
	guid, host, domain string
	index              int
	lease              Lease
	mounts             []Mount
}

// spec puts together what the runtime needs. It is pure.
func spec(a app.App, img Image, p place) (Spec, error) {
	command, err := args(a, img)
	if err != nil {
		return Spec{}, err
	}
	env, err := environment(a, img, p)
	if err != nil {
		return Spec{}, err
	}
	return Spec{
		GUID: p.guid, App: a.Name, Index: p.index, Image: img.Name,
		Args: command, Env: env, Dir: or(a.Dir, img.Dir, "/"), User: or(a.User, img.User),
		MemoryMB: a.MemoryMB, CPUWeight: a.CPUWeight, MaxPIDs: app.MaxPIDs, Volumes: unmounted(img.Volumes, p.mounts),
		Mounts: p.mounts, Privileged: a.Privileged,
		StopSignal: or(img.StopSignal, "SIGTERM"), Lease: p.lease,
	}, nil
}

// unmounted returns the paths where nothing is mounted.
func unmounted(paths []string, mounts []Mount) []string {
	return slices.DeleteFunc(slices.Clone(paths), func(p string) bool {
		return slices.ContainsFunc(mounts, func(m Mount) bool { return m.Path == path.Clean("/"+p) })
	})
}

func or(ss ...string) string {
	for _, s := range ss {
		if s != "" {
			return s
		}
	}
	return ""
}

// environment is the image's variables, what the platform offers, the user's,
// and what the platform insists on; later ones win. Names are those of Cloud
// Foundry. The result is in the order of first mention.
func environment(a app.App, img Image, p place) ([]string, error) {
	vcap, err := vcapApplication(a, p)
	if err != nil {
		return nil, err
	}
	index := strconv.Itoa(p.index)
	offered := []string{"PROCESS_GUID=" + a.Name, "VCAP_APPLICATION=" + vcap, "VCAP_SERVICES={}"}
	if a.MemoryMB > 0 {
		offered = append(offered, fmt.Sprintf("MEMORY_LIMIT=%dM", a.MemoryMB))
	}
	var users []string
	for _, k := range slices.Sorted(maps.Keys(a.Env)) {
		users = append(users, k+"="+a.Env[k])
	}
	insisted := []string{
		"INSTANCE_INDEX=" + index, "INSTANCE_GUID=" + p.guid,
		"CF_INSTANCE_INDEX=" + index, "CF_INSTANCE_GUID=" + p.guid,
		"CF_INSTANCE_IP=" + p.host, "CF_INSTANCE_INTERNAL_IP=" + p.lease.IP.String(),
	}
	if len(p.lease.Ports) > 0 { // a task has none
		primary := p.lease.Ports[0]
		pairs, err := portsJSON(p.lease.Ports)
		if err != nil {
			return nil, err
		}
		port := strconv.Itoa(primary.Container)
		offered = append(offered, "PORT="+port, "VCAP_APP_PORT="+port, "VCAP_APP_HOST=0.0.0.0")
		insisted = append(insisted, "CF_INSTANCE_PORT="+strconv.Itoa(primary.Host),
			fmt.Sprintf("CF_INSTANCE_ADDR=%s:%d", p.host, primary.Host), "CF_INSTANCE_PORTS="+pairs)
	}
	return override([]string{defaultPath}, img.Env, offered, users, insisted), nil
}

// override joins lists of NAME=value so that the last value of a name counts.
func override(lists ...[]string) []string {
	var out []string
	at := map[string]int{}
	for _, list := range lists {
		for _, kv := range list {
			name, _, _ := strings.Cut(kv, "=")
			if i, ok := at[name]; ok {
				out[i] = kv
				continue
			}
			at[name] = len(out)
			out = append(out, kv)
		}
	}
	return out
}

func portsJSON(pairs []app.PortPair) (string, error) {
	type pair struct {
		External int `json:"external"`
		Internal int `json:"internal"`
	}
	var ps []pair
	for _, p := range pairs {
		ps = append(ps, pair{p.Host, p.Container})
	}
	b, err := json.Marshal(ps)
	return string(b), err
}

// vcapApplication is the JSON that tells an app about itself.
func vcapApplication(a app.App, p place) (string, error) {
	uris := []string{}
	for _, r := range a.Routes {
		host := r.Host
		if !strings.Contains(host, ".") {
			host += "." + p.domain
		}
		uris = append(uris, host+r.Path)
	}
	if len(a.Routes) == 0 && !a.NoRoutes {
		uris = append(uris, a.Name+"."+p.domain)
	}
	version := strconv.FormatUint(a.Revision, 10)
	about := map[string]any{
		"application_id": a.Name, "application_name": a.Name, "name": a.Name,
		"application_uris": uris, "uris": uris,
		"application_version": version, "version": version,
		"limits":      map[string]int{"mem": a.MemoryMB, "disk": a.DiskMB, "fds": 16384},
		"instance_id": p.guid, "instance_index": p.index,
		"host": "0.0.0.0",
	}
	if len(p.lease.Ports) > 0 {
		about["port"] = p.lease.Ports[0].Container
	}
	b, err := json.Marshal(about)
	return string(b), err
}
