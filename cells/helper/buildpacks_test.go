package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lattice/images"
)

func TestAtRegistryIsWhereTheRegistryHasIt(t *testing.T) {
	for _, image := range []string{
		"nginx", "nginx:1.29", "team/web", "cluster/run:1", "cluster/team/run", "registry.lan:5000/x/y:2", "localhost/x",
		"index.docker.io/paketobuildpacks/run:base", "docker.io/busybox", "gcr.io/buildpacks/run:v1",
	} {
		want, err := images.Path(image)
		if err != nil {
			t.Fatal(err)
		}
		got := atRegistry(image)
		if i := strings.LastIndexByte(got, ':'); i > strings.LastIndexByte(got, '/') {
			got = got[:i]
		}
		if got != want {
			t.Errorf("%s: %s, want %s", image, got, want)
		}
	}
}

func TestOrderFile(t *testing.T) {
	dir := t.TempDir()
	for _, p := range []string{"a_one/1.0", "b/1", "b/2"} {
		if err := os.MkdirAll(filepath.Join(dir, p), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for packs, want := range map[string]string{
		"a/one b@2": "[[order]]\n[[order.group]]\nid = \"a/one\"\nversion = \"1.0\"\n[[order.group]]\nid = \"b\"\nversion = \"2\"\n",
		"b":         "!2 versions of the buildpack b: choose one with b@VERSION",
		"c":         "!no buildpack c",
	} {
		got, err := orderFile(dir, strings.Fields(packs))
		if why, wrong := strings.CutPrefix(want, "!"); wrong {
			if err == nil || !strings.Contains(err.Error(), why) {
				t.Errorf("%s: %v, want %s", packs, err, why)
			}
		} else if err != nil || got != want {
			t.Errorf("%s: %q %v", packs, got, err)
		}
	}
}
