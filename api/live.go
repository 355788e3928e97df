package api

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"lattice/app"
)

const (
	livePause   = 200 * time.Millisecond // between two looks, so that a storm of changes costs little
	liveUsage   = 10 * time.Second       // between two looks at what instances use
	liveKept    = 64                     // changes, for who reads slowly
	trendPoints = 30                     // of each app, for who begins to look
	trendApps   = 500                    // with more of them there are no trends at first
	liveAtOnce  = 1000                   // instances in one event, so that a page can show them in between
)

// A LiveState is an event of GET /live: all there is, or what has changed since
// the one before. The first has Reset, and those up to one with Complete belong
// to it; what a state names replaces what was known under its name.
type LiveState struct {
	Reset     bool           `json:"reset,omitempty"`
	Complete  bool           `json:"complete,omitempty"`
	Apps      []LiveApp      `json:"apps,omitempty"`
	Instances []LiveInstance `json:"instances,omitempty"`
	Cells     []CellStatus   `json:"cells,omitempty"`

	// Gone are the names and IDs of what is no more.
	Gone *LiveGone `json:"gone,omitempty"`

	// Usage has for IDs of instances: bytes of memory, percent of a core,
	// bytes of disk.
	Usage map[string][3]float64 `json:"usage,omitempty"`

	// Points are the newest of the history; see History. Trends, with Reset, are
	// the last few of each app.
	Points *Points            `json:"points,omitempty"`
	Trends map[string][]Point `json:"trends,omitempty"`
}

// LiveGone names what is no more.
type LiveGone struct {
	Apps      []string `json:"apps,omitempty"`
	Instances []string `json:"instances,omitempty"`
	Cells     []string `json:"cells,omitempty"`
}

func (g LiveGone) any() bool { return len(g.Apps)+len(g.Instances)+len(g.Cells) > 0 }

// A LiveApp is an app without its instances, and with the names of its
// environment only.
type LiveApp struct {
	app.App
	Env  []string `json:"env,omitempty"` // in place of the App's
	URLs []string `json:"urls"`
}

// A LiveInstance is an instance but for what it uses. Times are Unix
// milliseconds.
type LiveInstance struct {
	ID       string    `json:"id"` // of its placement, or APP/INDEX
	App      string    `json:"app"`
	Index    int       `json:"index"`
	Revision uint64    `json:"revision,omitempty"`
	GUID     string    `json:"guid,omitempty"`
	Cell     string    `json:"cell,omitempty"`
	State    app.State `json:"state"`
	Since    int64     `json:"since,omitempty"`
	Unready  bool      `json:"unready,omitempty"`
	Draining bool      `json:"draining,omitempty"`
	Stopping bool      `json:"stopping,omitempty"`
	Crashes  int       `json:"crashes,omitempty"`
	Reason   string    `json:"reason,omitempty"`
	RetryAt  int64     `json:"retry_at,omitempty"`
	Pull     app.Pull  `json:"pull,omitzero"`
	MemoryMB int       `json:"memory_mb,omitempty"`
	DiskMB   int       `json:"disk_mb,omitempty"`
	Host     string    `json:"host,omitempty"`
	Port     int       `json:"port,omitempty"` // of the host, that leads to the primary one
}

// live streams the cluster's state as server-sent events: whole at first, then
// what changes.
func (s *server) live(c *gin.Context) {
	changed := s.cfg.Apps.Changed()
	s.streamAs(c, "text/event-stream", writeLine, func(ctx context.Context, out *stream) error {
		s.feed.enter()
		defer s.feed.leave()
		var seq uint64
		for ; ; changed = s.cfg.Apps.Changed() {
			events, next := s.feed.since(seq, time.Now())
			seq = next
			for _, e := range events {
				if err := out.event(e); err != nil {
					return err
				}
			}
			if err := s.pauseLive(ctx, changed); err != nil {
				return err
			}
		}
	})
}

// pauseLive returns when there may be something new.
func (s *server) pauseLive(ctx context.Context, changed <-chan struct{}) error {
	looked := time.Now()
	usage := time.NewTimer(liveUsage)
	defer usage.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-changed:
	case <-usage.C:
	}
	rest := time.NewTimer(time.Until(looked.Add(livePause)))
	defer rest.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-rest.C:
		return nil
	}
}

// event sends data, which is one line, as a server-sent event.
func (s *stream) event(data []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.buf.WriteString("data: ")
	s.buf.Write(data)
	s.buf.WriteString("\n\n")
	return s.flush()
}

// A feed computes and encodes what changed once for all who look.
type feed struct {
	cfg *ServerConfig

	mu      sync.Mutex // guards what follows
	readers int
	changed <-chan struct{} // since the last look
	looked  time.Time
	used    time.Time // when what instances use was looked at

	apps      map[string]LiveApp
	instances map[string]LiveInstance
	cells     map[string]CellStatus
	usage     map[string][3]float64

	seq    uint64   // of the newest change
	recent [][]byte // the newest changes, oldest first
}

func (f *feed) enter() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.readers++
}

// leave forgets everything when nobody looks any more.
func (f *feed) leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.readers--; f.readers == 0 {
		f.changed, f.apps, f.instances, f.cells, f.usage, f.recent = nil, nil, nil, nil, nil, nil
		f.looked, f.used = time.Time{}, time.Time{}
	}
}

// since returns the events after seq, or all there is for 0 and for who is too
// far behind, and the seq of the last.
func (f *feed) since(seq uint64, now time.Time) ([][]byte, uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.look(now)
	behind := f.seq - seq
	if seq == 0 || behind > uint64(len(f.recent)) {
		return f.whole(), f.seq
	}
	return slices.Clone(f.recent[len(f.recent)-int(behind):]), f.seq
}

// look notes what changed since the last look.
func (f *feed) look(now time.Time) {
	fresh, due := f.changed == nil, now.Sub(f.used) >= liveUsage
	select {
	case <-f.changed: // a nil one blocks
		fresh = true
	default:
	}
	if !fresh && !due || now.Sub(f.looked) < livePause/2 && f.changed != nil {
		return
	}
	f.changed, f.looked = f.cfg.Apps.Changed(), now
	statuses := f.cfg.Apps.Statuses()
	apps, instances := liveApps(statuses)
	cells := map[string]CellStatus{}
	for _, c := range cellStatuses(f.cfg.Cells) {
		cells[c.ID] = c
	}
	change, gone := LiveState{}, LiveGone{}
	change.Apps, gone.Apps = changes(f.apps, apps, func(a, b LiveApp) bool { return reflect.DeepEqual(a, b) })
	change.Instances, gone.Instances = changes(f.instances, instances, func(a, b LiveInstance) bool { return a == b })
	change.Cells, gone.Cells = changes(f.cells, cells, func(a, b CellStatus) bool { return reflect.DeepEqual(a, b) })
	f.apps, f.instances, f.cells = apps, instances, cells
	if gone.any() {
		change.Gone = &gone
	}
	if due {
		f.used = now
		usage := usageOf(statuses)
		change.Usage = moved(f.usage, usage)
		f.usage = usage
		change.Points = f.points()
	}
	f.push(change)
}

func (f *feed) points() *Points {
	if f.cfg.History == nil {
		return nil
	}
	p := f.cfg.History.Latest()
	return &p
}

// push adds a change, if it is one.
func (f *feed) push(s LiveState) {
	if reflect.ValueOf(s).IsZero() && f.seq > 0 {
		return
	}
	f.seq++
	f.recent = append(f.recent, encodeLine(s))
	if len(f.recent) > liveKept {
		f.recent = slices.Delete(f.recent, 0, len(f.recent)-liveKept)
	}
}

// whole returns all there is, in pieces.
func (f *feed) whole() [][]byte {
	first := LiveState{Reset: true, Points: f.points()}
	if f.cfg.History != nil && len(f.apps) <= trendApps {
		first.Trends = f.cfg.History.Trends(trendPoints)
	}
	first.Apps = sorted(f.apps)
	first.Cells = sorted(f.cells)
	events := [][]byte{encodeLine(first)}
	for part := range slices.Chunk(sorted(f.instances), liveAtOnce) {
		s := LiveState{Instances: part, Usage: map[string][3]float64{}}
		for _, in := range part {
			if u, ok := f.usage[in.ID]; ok {
				s.Usage[in.ID] = u
			}
		}
		events = append(events, encodeLine(s))
	}
	return append(events, encodeLine(LiveState{Complete: true}))
}

func sorted[T any](m map[string]T) []T {
	list := make([]T, 0, len(m))
	for _, key := range slices.Sorted(maps.Keys(m)) {
		list = append(list, m[key])
	}
	return list
}

// changes returns what is new or different in now, and what is no more.
func changes[T any](was, now map[string]T, same func(a, b T) bool) (fresh []T, gone []string) {
	for key, v := range now {
		if old, ok := was[key]; !ok || !same(old, v) {
			fresh = append(fresh, v)
		}
	}
	for key := range was {
		if _, ok := now[key]; !ok {
			gone = append(gone, key)
		}
	}
	return fresh, gone
}

// liveApps takes apps and instances apart.
func liveApps(statuses []app.Status) (map[string]LiveApp, map[string]LiveInstance) {
	apps, instances := make(map[string]LiveApp, len(statuses)), map[string]LiveInstance{}
	for _, st := range statuses {
		names := slices.Sorted(maps.Keys(st.App.Env))
		st.App.Env = nil
		apps[st.App.Name] = LiveApp{App: withoutValues(st.App), Env: names, URLs: some(st.URLs)}
		for _, in := range st.Instances {
			v := liveInstance(in)
			instances[v.ID] = v
		}
	}
	return apps, instances
}

func liveInstance(in app.Instance) LiveInstance {
	v := LiveInstance{
		ID: in.ID, App: in.App, Index: in.Index, Revision: in.Revision, GUID: in.GUID, Cell: in.Cell,
		State: in.State, Since: millis(in.Since), Unready: in.Unready, Draining: in.Draining, Stopping: in.Stopping,
		Crashes: in.Crashes, Reason: in.Reason, RetryAt: millis(in.RetryAt), MemoryMB: in.MemoryMB, DiskMB: in.DiskMB, Host: in.Host,
	}
	v.ID = cmp.Or(v.ID, instanceName(in))
	if in.Pull != nil {
		v.Pull = *in.Pull
	}
	if len(in.Ports) > 0 {
		v.Port = in.Ports[0].Host
	}
	return v
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// usageOf returns what each instance uses.
func usageOf(statuses []app.Status) map[string][3]float64 {
	all := map[string][3]float64{}
	for _, st := range statuses {
		for _, in := range st.Instances {
			if in.MemoryBytes != 0 || in.CPUPercent != 0 || in.DiskBytes != 0 {
				all[cmp.Or(in.ID, instanceName(in))] = [3]float64{float64(in.MemoryBytes), round(in.CPUPercent), float64(in.DiskBytes)}
			}
		}
	}
	return all
}

// moved returns what differs so much that somebody could see it.
func moved(was, now map[string][3]float64) map[string][3]float64 {
	far := map[string][3]float64{}
	for id, v := range now {
		old, ok := was[id]
		for i := range v {
			if d := v[i] - old[i]; !ok || max(d, -d) > 0.02*max(v[i], 1) {
				far[id] = v
				break
			}
		}
	}
	if len(far) == 0 {
		return nil
	}
	return far
}

// encodeLine returns v as JSON on one line.
func encodeLine(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(err) // our own types can always be encoded
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
