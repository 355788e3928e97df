package cli

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"lattice/api"
	"lattice/app"
	"lattice/internal/doctor"
)

func newSupportBundle(st *streams) *cobra.Command {
	var file string
	var h hostFlags
	cmd := &cobra.Command{
		Use:     "support-bundle",
		GroupID: groupHelp,
		Short:   "Gather in one file what helps others to find out what is wrong",
		Long: `Gather in one file what helps others to find out what is wrong: what 'doctor'
says of the cluster and of this machine, settings, the state of apps, tasks and
cells, the events, and the brain's own log and goroutines. What can't be had is
left out, and said in errors.txt.

Tokens, passwords, keys and the values of environments are left out, wherever
they may have got to. What apps print is not in it.`,
		Example: st.name + " support-bundle\n" + st.name + " support-bundle -o /tmp/lattice.tar.gz",
		Args:    args(0, 0, ""),
	}
	cmd.Flags().StringVarP(&file, "output", "o", "", "write to `FILE`, which must not exist [lattice-support-DATE.tar.gz]")
	h.register(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		now := time.Now()
		name := cmp.Or(file, "lattice-support-"+now.UTC().Format("20060102-150405")+".tar.gz")
		b := bundle{now: now, files: map[string][]byte{}}
		b.gather(cmd.Context(), st, h)
		if err := b.write(name); err != nil {
			return fail(exitFile, fmt.Errorf("write the support bundle: %w", err))
		}
		fmt.Fprintln(st.out, name)
		if len(b.problems) > 0 {
			st.warn("%d things could not be had; errors.txt in it names them", len(b.problems))
		}
		st.note("Look through it before you give it away: 'tar -xzf %s'", name)
		return nil
	}
	return cmd
}

// A bundle is files that are gathered.
type bundle struct {
	now      time.Time
	files    map[string][]byte
	problems []string
	secrets  map[string]bool // texts that must not be in any file
}

// gather fetches all that can be had.
func (b *bundle) gather(ctx context.Context, st *streams, h hostFlags) {
	b.secrets = map[string]bool{}
	b.files["client.txt"] = fmt.Appendf(nil, "%s %s\n%s/%s\n%s\n", st.name, currentVersion(), runtime.GOOS, runtime.GOARCH, b.now.UTC().Format(time.RFC3339))
	cfg, err := h.config()
	if b.failed("settings of this machine", err); err == nil {
		b.add("host/doctor.json", doctor.Host(ctx, cfg))
	}
	t, err := currentTarget()
	if b.failed("target", err); err != nil {
		return
	}
	b.conceal(t.Token)
	brain, err := dial(t)
	if b.failed("target", err); err != nil {
		return
	}
	b.fetch(ctx, st, brain)
}

// fetch asks the brain, secrets first, so that they are known everywhere.
func (b *bundle) fetch(ctx context.Context, st *streams, brain *api.Client) {
	apps, err := brain.Apps(ctx)
	b.failed("apps", err)
	for i, s := range apps {
		apps[i].App = b.bare(s.App)
		revisions, err := brain.Revisions(ctx, s.App.Name)
		b.failed("revisions of "+s.App.Name, err)
		for _, r := range revisions {
			b.bare(r.App)
		}
	}
	b.add("cluster/apps.json", apps)
	tasks, err := brain.Tasks(ctx)
	b.failed("tasks", err)
	for i, task := range tasks {
		tasks[i].Spec, tasks[i].Result = b.bare(task.Spec), "" // a result is what an app printed
	}
	b.add("cluster/tasks.json", tasks)
	b.ask("cluster/info.json", func() (any, error) { return brain.Info(ctx) })
	b.ask("cluster/cells.json", func() (any, error) { return brain.Cells(ctx) })
	b.ask("cluster/strays.json", func() (any, error) { return brain.Strays(ctx) })
	b.ask("cluster/doctor.json", func() (any, error) { return examine(ctx, st.name, brain) })
	b.events(ctx, brain)
	inside, err := brain.Support(ctx)
	b.failed("the brain's inside", err)
	for name, data := range inside {
		b.files["brain/"+path.Base(name)] = data
	}
}

// bare returns a without secrets, and takes note of them.
func (b *bundle) bare(a app.App) app.App {
	env := make(map[string]string, len(a.Env))
	for name, value := range a.Env {
		b.conceal(value)
		env[name] = hiddenValue
	}
	a.Env = env
	for _, r := range a.Routes {
		if r.Options == nil {
			continue
		}
		for _, user := range r.Options.BasicAuth {
			_, hash, _ := strings.Cut(user, ":")
			b.conceal(hash)
		}
	}
	return a
}

// conceal takes note of a secret. What is very short can't be one, and to cut it
// out would make the rest unreadable.
func (b *bundle) conceal(secret string) {
	const least = 5
	if len(secret) >= least {
		b.secrets[secret] = true
	}
}

func (b *bundle) events(ctx context.Context, brain *api.Client) {
	var lines bytes.Buffer
	enc := json.NewEncoder(&lines)
	enc.SetEscapeHTML(false)
	err := brain.Events(ctx, app.EventQuery{Lines: allLines}, false, func(e app.Event) error { return enc.Encode(e) })
	b.failed("events", err)
	b.files["cluster/events.jsonl"] = lines.Bytes()
}

func (b *bundle) ask(name string, get func() (any, error)) {
	v, err := get()
	if b.failed(name, err); err == nil {
		b.add(name, v)
	}
}

func (b *bundle) add(name string, v any) {
	var buf bytes.Buffer
	b.failed(name, asJSON.encode(&buf, v))
	b.files[name] = buf.Bytes()
}

func (b *bundle) failed(what string, err error) {
	if err != nil {
		b.problems = append(b.problems, fmt.Sprintf("%s: %v", what, err))
	}
}

// write makes the file, for its owner only.
func (b *bundle) write(name string) error {
	if len(b.problems) > 0 {
		b.files["errors.txt"] = []byte(strings.Join(b.problems, "\n") + "\n")
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	zip := gzip.NewWriter(f)
	out := tar.NewWriter(zip)
	for _, name := range slices.Sorted(maps.Keys(b.files)) {
		data := b.clean(b.files[name])
		head := &tar.Header{Name: "lattice-support/" + name, Mode: 0o600, Size: int64(len(data)), ModTime: b.now}
		err = errors.Join(err, out.WriteHeader(head), second(out.Write(data)))
	}
	if err = errors.Join(err, out.Close(), zip.Close(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(name))
	}
	return nil
}

func second[T any](_ T, err error) error { return err }

// clean returns data with every secret cut out, the longest first, for one may
// be a part of another; also as JSON would write it.
func (b *bundle) clean(data []byte) []byte {
	secrets := slices.SortedFunc(maps.Keys(b.secrets), func(x, y string) int {
		return cmp.Or(cmp.Compare(len(y), len(x)), strings.Compare(x, y))
	})
	for _, s := range secrets {
		for _, written := range spellings(s) {
			data = bytes.ReplaceAll(data, written, []byte(hiddenValue))
		}
	}
	return data
}

// spellings returns s as it is and as JSON may have it.
func spellings(s string) [][]byte {
	all := [][]byte{[]byte(s)}
	for _, html := range []bool{false, true} {
		var buf bytes.Buffer
		enc := json.NewEncoder(&buf)
		enc.SetEscapeHTML(html)
		if enc.Encode(s) == nil {
			all = append(all, bytes.TrimSuffix(bytes.TrimPrefix(bytes.TrimSpace(buf.Bytes()), []byte(`"`)), []byte(`"`)))
		}
	}
	return all
}
