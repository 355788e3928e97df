package e2e

import (
	"archive/tar"
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// redisEntrypoint is what the official image of Redis begins with, but for the
// program that drops from root, which Debian has in util-linux.
const redisEntrypoint = `#!/bin/sh
set -e
# first arg is -f or --some-option, or something.conf
if [ "${1#-}" != "$1" ] || [ "${1%.conf}" != "$1" ]; then
	set -- redis-server "$@"
fi
# allow the container to be started with --user
if [ "$1" = 'redis-server' -a "$(id -u)" = '0' ]; then
	find . \! -user redis -exec chown redis '{}' +
	exec setpriv --reuid redis --regid redis --clear-groups -- "$0" "$@"
fi
um="$(umask)"
if [ "$um" = '0022' ]; then
	umask 0077
fi
exec "$@"
`

// redisImage is Debian's redis-server in the shape of the official image: its
// entrypoint starts as root, takes possession of /data and drops to redis.
func redisImage(t *testing.T) v1.Image {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	put := func(h tar.Header, content []byte) {
		h.Size = int64(len(content))
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	file := func(name string, mode int64, content []byte) {
		put(tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: mode}, content)
	}
	for _, f := range withLibraries(t, "/usr/bin/redis-server", "/usr/bin/setpriv", "/bin/dash", "/bin/busybox") {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		file(strings.TrimPrefix(f, "/"), 0o755, data)
	}
	put(tar.Header{Name: "bin/sh", Typeflag: tar.TypeSymlink, Linkname: "dash", Mode: 0o777}, nil) // that of busybox prefers its own setpriv
	for _, p := range strings.Fields("id find chown ls cat stat") {
		put(tar.Header{Name: "bin/" + p, Typeflag: tar.TypeSymlink, Linkname: "busybox", Mode: 0o777}, nil)
	}
	file("etc/passwd", 0o644, []byte("root:x:0:0::/root:/bin/sh\nredis:x:999:999::/home/redis:/bin/sh\n"))
	file("etc/group", 0o644, []byte("root:x:0:\nredis:x:999:\n"))
	file("usr/local/bin/docker-entrypoint.sh", 0o755, []byte(redisEntrypoint))
	put(tar.Header{Name: "data/", Typeflag: tar.TypeDir, Mode: 0o755, Uid: 999, Gid: 999}, nil)
	put(tar.Header{Name: "tmp/", Typeflag: tar.TypeDir, Mode: 0o1777}, nil)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	cfg = cfg.DeepCopy()
	cfg.OS, cfg.Architecture = "linux", "amd64"
	cfg.Config = v1.Config{
		ExposedPorts: map[string]struct{}{"6379/tcp": {}},
		Volumes:      map[string]struct{}{"/data": {}},
		WorkingDir:   "/data",
		Entrypoint:   []string{"docker-entrypoint.sh"},
		Cmd:          []string{"redis-server", "--protected-mode", "no", "--appendonly", "yes", "--appendfsync", "always"},
	}
	if img, err = mutate.ConfigFile(img, cfg); err != nil {
		t.Fatal(err)
	}
	return img
}

// withLibraries returns programs and the libraries that they need, each once.
func withLibraries(t *testing.T, programs ...string) []string {
	t.Helper()
	var all []string
	seen := map[string]bool{}
	add := func(files ...string) {
		for _, f := range files {
			if !seen[f] {
				seen[f] = true
				all = append(all, f)
			}
		}
	}
	for _, p := range programs {
		add(p)
		libs, err := exec.Command("ldd", p).CombinedOutput()
		if err != nil && !strings.Contains(string(libs), "not a dynamic executable") {
			t.Fatalf("the libraries of %s (of a Debian package): %v %s", p, err, libs)
		}
		add(regexp.MustCompile(`/\S+\.so\S*`).FindAllString(string(libs), -1)...)
	}
	return all
}

// redis runs redis-cli against a port of the host and returns what it printed.
func (h *host) redis(port string, args ...string) string {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	cmd := h.command("redis-cli", append([]string{"-h", h.addr, "-p", port}, args...)...)
	kill := context.AfterFunc(ctx, func() {
		if cmd.Process != nil {
			_ = cmd.Process.Kill()
		}
	})
	defer kill()
	out, err := cmd.CombinedOutput()
	if err != nil {
		return err.Error() + " " + string(out)
	}
	return strings.TrimSpace(string(out))
}
