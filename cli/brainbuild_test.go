package cli

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"slices"
	"strings"

	"lattice/app"
	"lattice/scheduler"
)

// fakeBuilds builds nothing: what its containers print is the names of what was
// sent. A target named "broken" fails, with "huge" nothing is taken.
type fakeBuilds struct {
	*scheduler.Scheduler
}

func (f *fakeBuilds) MaxSource() int64 { return 1 << 20 }

func (f *fakeBuilds) CreateBuild(ctx context.Context, r app.BuildRequest) (app.Task, error) {
	t := r.Task()
	t.Spec.Command = []string{"say", "[1/2] FROM cluster/box"}
	t.Spec.DiskMB = 1
	switch r.Target {
	case "broken":
		t.Spec.Command = append(t.Spec.Command, "result", `{"error":"the step RUN false failed with exit code 1"}`, "exit", "1")
	case "endless", "huge":
	default:
		t.Spec.Command = append(t.Spec.Command, "result", `{"image":"`+r.Image+`","digest":"sha256:`+strings.Repeat("c", 64)+`"}`, "exit", "0")
	}
	return f.CreateTask(ctx, t.WithDefaults())
}

func (f *fakeBuilds) SendSource(_ context.Context, name string, source io.Reader) error {
	z, err := gzip.NewReader(source)
	if err != nil {
		return err
	}
	var names []string
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		names = append(names, strings.TrimSuffix(h.Name, "/"))
	}
	slices.Sort(names)
	if t, err := f.Task(name); err == nil && t.Build.Target == "huge" {
		return app.Invalid("unpack the source: it has more than 1 MiB: %s", strings.Join(names, " "))
	}
	return nil
}
