package doctor

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"lattice/app"
)

// ClusterFacts is what is known of a cluster.
type ClusterFacts struct {
	Program string // as the user calls it
	Now     time.Time
	Client  string // version of the one who asks
	Brain   string // version
	Cells   []app.Cell
	Apps    []app.Status
	Strays  int
	Events  []app.Event // of the last hours
}

// Cluster says what is not as it should be in a cluster.
func Cluster(f ClusterFacts) []app.Finding {
	fs := []app.Finding{f.versions()}
	fs = append(fs, f.cells()...)
	fs = append(fs, f.vitals()...)
	fs = append(fs, f.apps()...)
	fs = append(fs, f.strays(), f.lost())
	return fs
}

func (f ClusterFacts) versions() app.Finding {
	const check = "versions"
	by := map[string][]string{}
	add := func(version, who string) { by[version] = append(by[version], who) }
	add(f.Brain, "the brain")
	add(f.Client, "this "+f.Program)
	for _, c := range f.Cells {
		if c.State != app.CellDead {
			add(c.Version, c.ID)
		}
	}
	if len(by) == 1 {
		return ok(check, "all of %s", f.Brain)
	}
	var parts []string
	for version, who := range by {
		parts = append(parts, fmt.Sprintf("%s: %s", cmp.Or(version, "unknown"), some(who)))
	}
	slices.Sort(parts)
	return warning(check, "install the same version everywhere, the brain first; '"+f.Program+" version' shows this one's and the brain's",
		"not all are the same: %s", strings.Join(parts, "; "))
}

// some lists a few names.
func some(names []string) string {
	const most = 5
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}

func (f ClusterFacts) cells() []app.Finding {
	if len(f.Cells) == 0 {
		return []app.Finding{broken("cells", "lattice token > join-token; then on another machine: lattice cell --join ADDRESS --token-file join-token", "no cell has joined: nothing can run")}
	}
	var fs []app.Finding
	alive, free := 0, 0
	for _, c := range f.Cells {
		check := "cell " + c.ID
		switch {
		case c.State == app.CellDead:
			fs = append(fs, broken(check, f.Program+" explain "+c.ID, "is dead, and its instances are not all replaced"))
		case c.State != app.CellAlive:
			fs = append(fs, warning(check, f.Program+" explain "+c.ID, "does not answer"))
		case c.Draining:
			fs = append(fs, warning(check, f.Program+" cell undrain "+c.ID+" lets it work again", "drains: it gets no work"))
		default:
			alive++
			free = max(free, c.Capacity.MemoryMB-c.Used.MemoryMB)
		}
	}
	if alive > 0 {
		fs = append(fs, ok("cells", "%d of %d work", alive, len(f.Cells)))
		if free < app.DefaultMemoryMB {
			fs = append(fs, warning("room", "add a cell, or ask for fewer or smaller instances", "no cell has more than %d MiB of memory left for instances", free))
		}
	} else {
		fs = append(fs, broken("cells", "see the cells above", "none of %d takes work", len(f.Cells)))
	}
	return fs
}

// vitals tells of the cells whose hosts are not well; of those that are, how many.
func (f ClusterFacts) vitals() []app.Finding {
	var fs []app.Finding
	well := 0
	for _, c := range f.Cells {
		v := c.Vitals
		if c.State != app.CellAlive {
			continue
		}
		if v == nil {
			fs = append(fs, unknown("host of "+c.ID, "has not told how it is: it has not reported since the brain started, or is of an older version"))
			continue
		}
		found := []app.Finding{
			Clock("clock of "+c.ID, "the cell's clock", time.Duration(v.Ahead)),
			Disk("disk of "+c.ID, "the disk of its data folder", v.DiskFreeMB, v.DiskTotalMB, v.FilesFree),
			f.certificate(c),
		}
		for _, w := range v.Warnings {
			found = append(found, warning("host of "+c.ID, "lattice doctor --host on its machine tells more", "%s", w))
		}
		bad := slices.DeleteFunc(found, func(x app.Finding) bool { return x.State == app.FindingOK })
		if len(bad) == 0 {
			well++
		}
		fs = append(fs, bad...)
	}
	if well > 0 {
		fs = append(fs, ok("hosts of cells", "clock, disk and certificate are good on %d", well))
	}
	return fs
}

// certificate goes by that cells renew theirs when a third of its life is left,
// whatever its length is: only one that is over is bad.
func (f ClusterFacts) certificate(c app.Cell) app.Finding {
	check, ends := "certificate of "+c.ID, c.Vitals.CertificateEnds
	switch {
	case ends.IsZero():
		return unknown(check, "when it ends is not known")
	case ends.Before(f.Now):
		return broken(check, "lattice cell --join again on its machine, with a new token", "it ended on %s", ends.Format(time.DateTime))
	}
	return ok(check, "it is good until %s", ends.Format(time.DateTime))
}

// apps tells of those that are not as they shall be.
func (f ClusterFacts) apps() []app.Finding {
	var fs []app.Finding
	well := 0
	for _, st := range f.Apps {
		what, up := ails(st)
		if what == "" {
			well++
			continue
		}
		explain := f.Program + " explain " + st.App.Name
		if up == 0 {
			fs = append(fs, broken("app "+st.App.Name, explain, "none of %d instances runs: %s", st.App.Wanted(), what))
		} else {
			fs = append(fs, warning("app "+st.App.Name, explain, "%d of %d instances run: %s", up, st.App.Wanted(), what))
		}
	}
	return append(fs, ok("apps", "%d of %d are as they shall be", well, len(f.Apps)))
}

// ails says what is wrong with an app, "" being nothing, and how many of its
// instances run. What is just starting is not wrong.
func ails(st app.Status) (what string, up int) {
	running := map[int]bool{}
	for _, in := range st.Instances {
		if in.Stopping || in.Stray || in.Index >= st.App.Wanted() {
			continue
		}
		switch {
		case in.State == app.Running && !in.Unready:
			running[in.Index] = true
		case what != "":
		case in.State == app.Unclaimed && in.Reason != "":
			what = fmt.Sprintf("instance %d fits nowhere: %s", in.Index, in.Reason)
		case in.Crashes >= 3:
			what = fmt.Sprintf("instance %d crashed %d times: %s", in.Index, in.Crashes, in.Reason)
		case in.Unready:
			what = fmt.Sprintf("instance %d is not ready: %s", in.Index, in.Reason)
		}
	}
	if r := st.App.Rollout; what == "" && r != nil && r.State == app.RolloutFailed {
		what = fmt.Sprintf("its last change failed, so it is back at revision %d: %s", st.App.Revision, r.Reason)
	}
	return what, len(running)
}

func (f ClusterFacts) strays() app.Finding {
	if f.Strays == 0 {
		return ok("strays", "none")
	}
	return warning("strays", f.Program+" adopt --help", "%d instances run that this brain knows nothing of", f.Strays)
}

// lost tells of events that could not be kept.
func (f ClusterFacts) lost() app.Finding {
	for _, e := range slices.Backward(f.Events) {
		if e.Kind == app.EventsLost && e.At.After(f.Now.Add(-24*time.Hour)) && strings.Contains(e.Message, "disk") {
			return warning("events", "look at the brain's disk, and its log", "at %s: %s", e.At.Format(time.DateTime), e.Message)
		}
	}
	return ok("events", "none were lost in the last day")
}
