package app

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// MaxVolumes bounds App.Volumes.
const MaxVolumes = 16

// A Volume is a folder that outlives the containers which see it.
type Volume struct {
	// Source is a name, or nfs://HOST[:PORT]/PATH. Of a name each index of the
	// app has a folder of its own, on the disk of the cell that it then stays on.
	// What is on a server all instances share.
	Source   string `json:"source"`
	Path     string `json:"path"` // in the container
	ReadOnly bool   `json:"read_only,omitempty"`
}

const nfsScheme = "nfs://"

// ParseVolume reads SOURCE:PATH[:ro]. Errors are ErrInvalid.
func ParseVolume(text string) (Volume, error) {
	rest, readOnly := strings.CutSuffix(text, ":ro")
	if !readOnly {
		rest = strings.TrimSuffix(rest, ":rw")
	}
	at := strings.LastIndex(rest, ":/")
	if at <= 0 || rest[:at] == "nfs" && strings.HasPrefix(rest, nfsScheme) {
		return Volume{}, Invalid("the volume %s does not say where it is in the container: write NAME:/PATH or nfs://HOST/PATH:/PATH, with :ro behind it to read only", quote(text))
	}
	return Volume{Source: rest[:at], Path: path.Clean(rest[at+1:]), ReadOnly: readOnly}, nil
}

// String writes v as ParseVolume reads it.
func (v Volume) String() string {
	text := v.Source + ":" + v.Path
	if v.ReadOnly {
		text += ":ro"
	}
	return text
}

// Named reports whether v is on the disk of a cell.
func (v Volume) Named() bool { return !strings.Contains(v.Source, "://") }

// NFS returns the server, its port ("": the usual one) and the folder there of a
// volume that is not Named. Errors are ErrInvalid.
func (v Volume) NFS() (host, port, dir string, err error) {
	rest, ok := strings.CutPrefix(v.Source, nfsScheme)
	host, dir, _ = strings.Cut(rest, "/")
	dir = "/" + dir
	if h, p, splitErr := net.SplitHostPort(host); splitErr == nil {
		host, port = h, p
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	_, notIP := netip.ParseAddr(host)
	number, notNumber := strconv.ParseUint(port, 10, 16)
	switch {
	case !ok:
		err = Invalid("the volume %s is neither a name nor on an NFS server: write NAME:/PATH or nfs://HOST/PATH:/PATH", quote(v.Source))
	case notIP != nil && !isHost(strings.ToLower(host)), port != "" && (notNumber != nil || number == 0):
		err = Invalid("the volume %s names no server: write nfs://HOST/PATH or nfs://HOST:PORT/PATH", quote(v.Source))
	case len(dir) > MaxPathBytes || strings.ContainsFunc(dir, isControl):
		err = Invalid("the volume %s names no folder: it is too long or has control characters", quote(v.Source))
	}
	return host, port, dir, err
}

// NamedVolumes returns the volumes of a that are on the disk of a cell.
func (a App) NamedVolumes() []Volume {
	return slices.DeleteFunc(slices.Clone(a.Volumes), func(v Volume) bool { return !v.Named() })
}

// A VolumeKey says which volume is meant: that of one index of an app, or of a
// task, whose Index is 0.
type VolumeKey struct {
	App   string `json:"app"`
	Name  string `json:"name"`
	Index int    `json:"index"`
}

func (k VolumeKey) String() string { return fmt.Sprintf("%s/%s/%d", k.App, k.Name, k.Index) }

// Valid reports whether there can be such a volume.
func (k VolumeKey) Valid() bool {
	return isLabel(k.App) && isLabel(k.Name) && k.Index >= 0 && k.Index < MaxInstances
}

// Compare orders volumes by app, name and index.
func (k VolumeKey) Compare(o VolumeKey) int {
	return cmp.Or(strings.Compare(k.App, o.App), strings.Compare(k.Name, o.Name), cmp.Compare(k.Index, o.Index))
}

// A StoredVolume says which cell has a named volume. It is written before the
// cell makes it, and kept until the cell has deleted it.
type StoredVolume struct {
	ID string `json:"id"` // unique for ever
	VolumeKey
	Cell      string    `json:"cell"`
	CreatedAt time.Time `json:"created_at"`
	Made      bool      `json:"made,omitempty"`     // the cell has said that it has it
	Removing  bool      `json:"removing,omitempty"` // somebody wants it deleted; it belongs to nothing any more
}

// An AssignedVolume is a named volume as the cell of an instance is told of it.
type AssignedVolume struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	Made bool   `json:"made,omitempty"` // it must be there: what was in it would be missed
}

// A ReportedVolume is a named volume on the disk of a cell.
type ReportedVolume struct {
	ID string `json:"id"`
	VolumeKey
	Bytes int64 `json:"bytes"` // of its files; may be minutes old
}

// VolumeState is what a volume is good for now.
type VolumeState string

// The states of a volume.
const (
	VolumeInUse    VolumeState = "IN USE"   // an instance has it
	VolumeKept     VolumeState = "KEPT"     // its app has it when it runs again, or has as many instances again
	VolumeOrphan   VolumeState = "ORPHAN"   // there is no app that has it
	VolumeSpare    VolumeState = "SPARE"    // another cell has the one that counts
	VolumeLost     VolumeState = "LOST"     // its cell has it no more
	VolumeRemoving VolumeState = "REMOVING" // its cell has yet to delete it
)

// A VolumeStatus is a named volume with what is known of it.
type VolumeStatus struct {
	StoredVolume
	State VolumeState `json:"state"`
	Bytes int64       `json:"bytes"`            // 0: not known yet
	Away  bool        `json:"away,omitempty"`   // its cell is not there
	Dir   string      `json:"folder,omitempty"` // on the cell, below its data folder
}

// VolumeDir returns the name of the folder of a volume, below that of all
// volumes of a cell.
func VolumeDir(id string, k VolumeKey) string {
	return fmt.Sprintf("%s.%s.%d.%s", k.App, k.Name, k.Index, id)
}

// ParseVolumeDir reads what VolumeDir writes.
func ParseVolumeDir(dir string) (id string, k VolumeKey, ok bool) {
	parts := strings.Split(dir, ".")
	if len(parts) != 4 || !ValidVolumeID(parts[3]) {
		return "", k, false
	}
	index, err := strconv.Atoi(parts[2])
	k = VolumeKey{parts[0], parts[1], index}
	return parts[3], k, err == nil && k.Valid() && VolumeDir(parts[3], k) == dir
}

// ValidVolumeID reports whether id can be that of a volume.
func ValidVolumeID(id string) bool { return isLabel(id) && len(id) >= 8 }

// normalVolumes returns volumes so that equal ones look equal. It shares no
// memory with them.
func normalVolumes(volumes []Volume) []Volume {
	var all []Volume
	for _, v := range volumes {
		if strings.HasPrefix(v.Path, "/") {
			v.Path = path.Clean(v.Path)
		}
		all = append(all, v)
	}
	return all
}

func (p *problems) volumes(volumes []Volume) {
	if len(volumes) > MaxVolumes {
		p.add("there are %d volumes: at most %d are possible", len(volumes), MaxVolumes)
		return
	}
	sources, paths := map[string]bool{}, map[string]bool{}
	for _, v := range volumes {
		p.volume(v)
		if sources[v.Source] && v.Named() {
			p.add("the volume %s is there twice: an instance sees it at one place", quote(v.Source))
		}
		if paths[v.Path] {
			p.add("two volumes are at %s: choose another place for one", quote(v.Path))
		}
		sources[v.Source], paths[v.Path] = true, true
	}
}

func (p *problems) volume(v Volume) {
	switch _, _, _, err := v.NFS(); {
	case strings.HasPrefix(v.Source, "/") || strings.HasPrefix(v.Source, ".") || strings.HasPrefix(v.Source, "~"):
		p.add("the volume %s is a folder of a host, which instances can't have: give the volume a name, or use nfs://HOST/PATH", quote(v.Source))
	case v.Named() && !isLabel(v.Source):
		p.add("the name %s can't be that of a volume: use a-z, 0-9, - and _, with a letter or digit first and last, at most %d characters", quote(v.Source), MaxNameBytes)
	case !v.Named() && err != nil:
		p.add("%s", err)
	}
	top, _, _ := strings.Cut(strings.TrimPrefix(v.Path, "/"), "/")
	switch {
	case !strings.HasPrefix(v.Path, "/") || path.Clean(v.Path) != v.Path || len(v.Path) > MaxPathBytes || strings.ContainsFunc(v.Path, isControl):
		p.add("the volume %s is at %s: that must be an absolute path such as /data", quote(v.Source), quote(v.Path))
	case v.Path == "/" || slices.Contains([]string{"proc", "sys", "dev"}, top):
		p.add("the volume %s is at %s, where no volume can be: choose a folder such as /data", quote(v.Source), quote(v.Path))
	}
}
