package compose

import (
	"maps"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"

	"lattice/app"
)

// volumes gives the app the service's named volumes and names the others.
func (c conversion) volumes(a *app.App) {
	for _, v := range c.service.Volumes {
		switch {
		case v.Type == types.VolumeTypeBind:
			c.unsupported("volumes %s: an instance can't have a folder of a host: put the files into the image, or use a named volume and 'ltc cp'", v.Source)
		case v.Type != types.VolumeTypeVolume:
			c.unsupported("volumes %s: an app has no volumes of type %s", v.Target, v.Type)
		case v.Source == "":
			c.note("volumes %s: without a name it lasts as long as the container", v.Target)
		default:
			c.named(a, v)
		}
	}
}

func (c conversion) named(a *app.App, v types.ServiceVolumeConfig) {
	config := c.project.Volumes[v.Source]
	source, ok := nfsSource(config)
	switch {
	case !ok && (config.Driver != "" && config.Driver != "local" || len(config.DriverOpts) > 0):
		c.unsupported("volumes %s: of drivers there is only that of NFS (driver_opts: type: nfs, o: addr=HOST, device: :/PATH)", v.Source)
		return
	case !ok:
		source = v.Source
		if other := c.other(v.Source); other != "" {
			c.unsupported("volumes %s: service %s has it, too, and each app has volumes of its own: only one on an NFS server can be shared", v.Source, other)
			return
		}
		if a.Instances > 1 {
			c.note("volumes %s: each of the %d instances has one of its own", v.Source, a.Instances)
		}
	}
	a.Volumes = append(a.Volumes, app.Volume{Source: source, Path: v.Target, ReadOnly: v.ReadOnly})
}

// other returns another service that has the volume, or "".
func (c conversion) other(volume string) string {
	for _, name := range slices.Sorted(maps.Keys(c.project.Services)) {
		if name != c.service.Name && slices.ContainsFunc(c.project.Services[name].Volumes, func(v types.ServiceVolumeConfig) bool {
			return v.Type == types.VolumeTypeVolume && v.Source == volume
		}) {
			return name
		}
	}
	return ""
}

// nfsSource returns the source of a volume that the local driver mounts by NFS.
func nfsSource(v types.VolumeConfig) (string, bool) {
	if kind := v.DriverOpts["type"]; kind != "nfs" && kind != "nfs4" {
		return "", false
	}
	host, dir, _ := strings.Cut(v.DriverOpts["device"], ":")
	for o := range strings.SplitSeq(v.DriverOpts["o"], ",") {
		if addr, ok := strings.CutPrefix(o, "addr="); ok {
			host = addr
		}
	}
	return "nfs://" + host + dir, host != "" && strings.HasPrefix(dir, "/")
}
