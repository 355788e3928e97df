package images_test

import (
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/random"

	"lattice/images"
)

// What was pushed is there whole when only its files are taken along; what came
// from elsewhere is left.
func TestOwnImagesAreWhole(t *testing.T) {
	dir, ctx := t.TempDir(), within(t, time.Minute)
	u, b := newUpstream(t), newBrain(t, dir)
	other, _, _ := u.push(t, "team/other:1", 50_000, 2)
	if err := b.pull(ctx, other); err != nil {
		t.Fatal(err)
	}
	img, err := random.Image(50_000, 2)
	if err != nil {
		t.Fatal(err)
	}
	write(t, b.host+"/team/own:1", img)
	files, err := images.Own(dir)
	if err != nil {
		t.Fatal(err)
	}
	moved := t.TempDir()
	for _, f := range files {
		to := filepath.Join(moved, f)
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			t.Fatal(err)
		}
		in, err := os.Open(filepath.Join(dir, f))
		if err != nil {
			t.Fatal(err)
		}
		out, err := os.Create(to)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(out, in); err != nil {
			t.Fatal(err)
		}
		in.Close()
		out.Close()
	}
	after := newBrain(t, moved)
	if err := after.pull(ctx, "cluster/team/own:1"); err != nil {
		t.Error(err)
	}
	if all, err := after.List(ctx); err != nil || len(all) != 1 || all[0].Name != "cluster/team/own" {
		t.Errorf("moved along: %+v %v", all, err)
	}
	if none, err := images.Own(t.TempDir()); err != nil || len(none) != 0 {
		t.Errorf("of an empty folder: %v %v", none, err)
	}
}
