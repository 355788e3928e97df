package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"lattice/api"
	"lattice/app"
	"lattice/internal/manifest"
)

// buildFlags say how source becomes an image, as they were typed.
type buildFlags struct {
	app     appFlags // memory, disk and share of the CPU
	file    string
	args    []string
	env     []string
	target  string
	noCache bool
	builder string
	packs   []string
	timeout time.Duration
}

func (f *buildFlags) register(cmd *cobra.Command) {
	f.app.memory, f.app.disk = app.DefaultBuildMemoryMB, app.DefaultBuildDiskMB
	fl := cmd.Flags()
	fl.StringVarP(&f.file, "file", "f", "", "`PATH` of the Dockerfile in DIR [Dockerfile]")
	fl.StringArrayVar(&f.args, "build-arg", nil, "set an ARG of the Dockerfile: `NAME=VALUE`, or NAME to take it from your environment")
	fl.StringVar(&f.target, "target", "", "stop at this `STAGE` of the Dockerfile [the last]")
	fl.StringVar(&f.builder, "builder", "", "build with the buildpacks of the image `IMAGE`, not with a Dockerfile")
	fl.StringArrayVar(&f.packs, "buildpack", nil, "use this buildpack of the builder, as `ID[@VERSION]`; may be repeated [those that fit]")
	fl.StringArrayVarP(&f.env, "env", "e", nil, "set a variable for buildpacks: `NAME=VALUE`, or NAME to take it from your environment")
	fl.BoolVar(&f.noCache, "no-cache", false, "use nothing of former builds")
	fl.VarP(&f.app.memory, "memory-mb", "m", "memory limit of the build, in MiB or as 512M or 2G")
	fl.VarP(&f.app.disk, "disk-mb", "d", "disk limit of the build, in MiB or as 512M or 10G")
	fl.IntVarP(&f.app.cpuWeight, "cpu-weight", "c", app.DefaultCPUWeight, "`SHARE` of the CPU, 1 to 100, against others on the cell")
	fl.DurationVar(&f.timeout, "timeout", app.DefaultBuildTimeout, "end the build after `DURATION`")
}

// request returns the build of dir that the flags describe.
func (f *buildFlags) request(cmd *cobra.Command, name, dir string) (app.BuildRequest, error) {
	if len(f.env) > 0 && f.builder == "" {
		return app.BuildRequest{}, usage(cmd, "--env is for buildpacks: a Dockerfile takes --build-arg")
	}
	if len(f.args) > 0 && f.builder != "" {
		return app.BuildRequest{}, usage(cmd, "--build-arg is for Dockerfiles: buildpacks take --env")
	}
	args, err := parseEnv(append(f.args, f.env...), os.LookupEnv)
	if err != nil {
		return app.BuildRequest{}, asSyntax(err)
	}
	from := dir
	if abs, err := filepath.Abs(dir); err == nil {
		from = filepath.Base(abs)
	}
	r := app.BuildRequest{
		Build: app.Build{
			Image: app.ClusterImages + strings.TrimPrefix(name, app.ClusterImages), From: from,
			Dockerfile: filepath.ToSlash(f.file), Target: f.target, Args: args, NoCache: f.noCache,
			Builder: f.builder, Buildpacks: f.packs,
		},
		MemoryMB: int(f.app.memory), DiskMB: int(f.app.disk), CPUWeight: f.app.cpuWeight, Timeout: app.Duration(f.timeout),
	}
	if err := r.Validate(); err != nil {
		return r, asSyntax(err)
	}
	return r, nil
}

func newBuild(st *streams) *cobra.Command {
	var f buildFlags
	cmd := &cobra.Command{
		Use:     "build NAME[:TAG] [DIR]",
		GroupID: groupImages,
		Short:   "Make an image of a folder, on a cell",
		Long: `Make an image of a folder, on a cell, and keep it in the cluster's registry as
cluster/NAME. The folder is built by its Dockerfile, or with --builder by Cloud
Native Buildpacks. What .dockerignore names is not sent; with buildpacks that is
.cfignore, or .gitignore where there is none. Images that the Dockerfile begins
with come through the cluster's registry.

The build runs in a container of its own, as nobody on the cell, and is a task:
'tasks' lists it, 'logs' shows what it printed. Ctrl-C ends it.`,
		Example: st.name + " build web && " + st.name + " create web cluster/web\n" +
			st.name + " build shop:v2 ./shop -f deploy/Dockerfile --build-arg VERSION=2\n" +
			st.name + " build site --builder paketobuildpacks/builder-jammy-base",
		Args: args(1, 2, "NAME and DIR"),
	}
	f.register(cmd)
	out := formatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		dir := "."
		if len(args) > 1 {
			dir = args[1]
		}
		r, err := f.request(cmd, args[0], dir)
		if err != nil {
			return err
		}
		b, err := client()
		if err != nil {
			return err
		}
		made, err := st.build(cmd.Context(), b, r, dir)
		if err != nil {
			return err
		}
		if *out != asTable {
			return out.encode(st.out, made)
		}
		fmt.Fprintln(st.out, made.Image)
		st.note("Next: %s create APP %s", st.name, made.Image)
		return nil
	}
	return cmd
}

// buildFor makes the image of an app of a folder, with the defaults of the
// command, and returns its name.
func (st *streams) buildFor(cmd *cobra.Command, name, dir, builder string) (string, error) {
	var f buildFlags
	f.register(&cobra.Command{})
	f.builder = builder
	r, err := f.request(cmd, name, dir)
	if err != nil {
		return "", err
	}
	b, err := client()
	if err != nil {
		return "", err
	}
	made, err := st.build(cmd.Context(), b, r, dir)
	return made.Image, err
}

// buildAll builds the images of files, and has the apps name what came of it by
// digest, so that another image is a change.
func (st *streams) buildAll(ctx context.Context, specs []manifest.Spec) error {
	for i, s := range specs {
		if s.Build == nil {
			continue
		}
		b, err := client()
		if err != nil {
			return err
		}
		if err := s.Build.Validate(); err != nil {
			return asSyntax(fmt.Errorf("%s: %w", s.App.Name, err))
		}
		made, err := st.build(ctx, b, app.BuildRequest{Build: s.Build.Build}, s.Build.Dir)
		if err != nil {
			return err
		}
		specs[i].App.Image = untagged(made.Image) + "@" + made.Digest
	}
	return nil
}

// asBuilt has the apps of files name what was built of them last, for who only
// wants to know what would change.
func asBuilt(specs []manifest.Spec, apps []app.Status) {
	for i, s := range specs {
		for _, live := range apps {
			if name := untagged(s.App.Image); s.Build != nil && live.App.Name == s.App.Name && strings.HasPrefix(live.App.Image, name+"@") {
				specs[i].App.Image = live.App.Image
			}
		}
	}
}

// untagged returns the name of an image of the cluster without its tag.
func untagged(image string) string {
	name, _, _ := strings.Cut(image, ":")
	return name
}

// build makes an image of a folder and shows on the way what the build prints.
func (st *streams) build(ctx context.Context, b *api.Client, r app.BuildRequest, dir string) (made app.BuildOutcome, err error) {
	src, err := openSource(dir, r.Build)
	if err != nil {
		return made, err
	}
	t, err := b.CreateBuild(ctx, r)
	if err != nil {
		return made, fmt.Errorf("build %s: %w", r.Image, err)
	}
	building, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		if err := st.send(building, b, t.Name, src); err != nil {
			stop(err)
		}
	}()
	run := runner{st: st, brain: b, name: t.Name, out: asJSON} // what is built is all that goes to standard output
	t, err = run.wait(building)
	ended := building.Err() == nil
	stop(nil)
	<-sent
	if !ended {
		st.endBuild(context.WithoutCancel(ctx), b, run.name)
		return made, fmt.Errorf("build %s: %w", r.Image, context.Cause(building))
	}
	if err != nil {
		return made, fmt.Errorf("build %s: %w", r.Image, err)
	}
	return st.outcome(r, t)
}

// outcome reads how a build ended.
func (st *streams) outcome(r app.BuildRequest, t app.Task) (made app.BuildOutcome, err error) {
	if t.Result != "" {
		if err := json.Unmarshal([]byte(t.Result), &made); err != nil {
			return made, fmt.Errorf("read how the build ended: %w", err)
		}
	}
	if !t.Failed && made.Digest != "" {
		return made, nil
	}
	why := made.Error
	if why == "" {
		why = t.Reason
	}
	return made, &failure{code: exitImage, err: fmt.Errorf("%s was not built: %s", r.Image, why), hint: fmt.Sprintf("'%s logs %s' shows all that it printed", st.name, t.Name)}
}

// send sends the source when the build has a cell.
func (st *streams) send(ctx context.Context, b *api.Client, name string, src *source) error {
	total, err := src.size()
	if err != nil {
		return fail(exitFile, err)
	}
	show, last := st.transfer("sending the source"), time.Time{}
	body := src.pack(func(done int64) {
		if show != nil && time.Since(last) > 100*time.Millisecond {
			last = time.Now()
			show(min(done, total), total)
		}
	}, func(name, why string) { st.warn("left out %s: %s", name, why) })
	defer body.Close()
	err = b.SendSource(ctx, name, body)
	if show != nil {
		io.WriteString(st.err, "\r\x1b[K")
	}
	if errors.Is(err, app.ErrConflict) || ctx.Err() != nil { // it has ended, and says why
		return nil
	}
	return err
}

// endBuild cancels a build that nobody wants any more, and waits until it is gone.
func (st *streams) endBuild(ctx context.Context, b *api.Client, name string) {
	ctx, cancel := context.WithTimeout(ctx, tidyUpTime)
	defer cancel()
	_, err := b.CancelTask(ctx, name)
	if err == nil {
		err = stoppedTask(ctx, b, name)
	}
	if err != nil && !errors.Is(err, app.ErrConflict) {
		st.warn("the build was not ended: %v; '%s cancel-task %s' does it", err, st.name, name)
		return
	}
	st.note("The build %s was cancelled.", name)
}
