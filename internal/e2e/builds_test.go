package e2e

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"lattice/app"
)

// bring puts an image into the cluster's registry.
func (h *host) bring(ref string, img v1.Image) {
	h.t.Helper()
	file := filepath.Join(h.dir, "image.tar")
	tag, err := name.NewTag(ref)
	if err != nil {
		h.t.Fatal(err)
	}
	if err := tarball.WriteToFile(file, tag, img); err != nil {
		h.t.Fatal(err)
	}
	h.ltc("push", file, ref)
	if err := os.Remove(file); err != nil {
		h.t.Fatal(err)
	}
}

// folder makes a folder with files, by their names.
func (h *host) folder(name string, files map[string]string) string {
	h.t.Helper()
	dir := filepath.Join(h.dir, name)
	for file, text := range files {
		p := filepath.Join(dir, file)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			h.t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o755); err != nil {
			h.t.Fatal(err)
		}
	}
	return dir
}

// withGo returns img with as much of Go as it takes to build a program that
// needs syscall.
func (h *host) withGo(img v1.Image) v1.Image {
	h.t.Helper()
	t := h.t
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	root := strings.TrimSpace(h.run("go", "env", "GOROOT"))
	needs := strings.Fields(h.run("go", "list", "-deps", "syscall"))
	needs = append(needs, "runtime/cgo") // has what assembler files include
	tools := regexp.MustCompile(`^(bin/go|pkg/tool/[^/]+/(compile|link|asm)|pkg/include/.*|go\.env|VERSION|src/(` + strings.Join(needs, "|") + `)/[^/]*)$`)
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		rel, relErr := filepath.Rel(root, p)
		if err != nil || relErr != nil || d.IsDir() || !tools.MatchString(filepath.ToSlash(rel)) || strings.HasSuffix(rel, "_test.go") {
			return err
		}
		data, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if err := w.WriteHeader(&tar.Header{Name: "usr/local/go/" + rel, Mode: int64(info.Mode().Perm()), Size: int64(len(data)), Typeflag: tar.TypeReg}); err != nil {
			return err
		}
		_, err = w.Write(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil }, tarball.WithCompressionLevel(1))
	if err != nil {
		t.Fatal(err)
	}
	if img, err = mutate.AppendLayers(img, layer); err != nil {
		t.Fatal(err)
	}
	return img
}

// server is a program that answers HTTP as far as the router needs it, made of
// few packages, which all are compiled.
const server = `package main

import "syscall"

func main() {
	ln, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err == nil {
		err = syscall.Bind(ln, &syscall.SockaddrInet4{Port: 8080})
	}
	if err == nil {
		err = syscall.Listen(ln, 16)
	}
	text := make([]byte, 100)
	f, err2 := syscall.Open("/text", syscall.O_RDONLY, 0)
	if err != nil || err2 != nil {
		panic("it can't listen, or has no text")
	}
	n, _ := syscall.Read(f, text)
	for {
		c, _, err := syscall.Accept(ln)
		if err != nil {
			panic(err.Error())
		}
		syscall.Read(c, make([]byte, 4096))
		syscall.Write(c, []byte("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nbuilt: "+string(text[:n])))
		syscall.Close(c)
	}
}
`

const serverFile = `# syntax=docker/dockerfile:1
FROM cluster/go:1 AS build
USER root
WORKDIR /src
ENV CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS=-mod=mod GOCACHE=/cache PATH=/usr/local/go/bin:/bin
COPY go.mod main.go ./
RUN --mount=type=cache,target=/cache go build -o /server .
FROM scratch
ARG TEXT=none
COPY --from=build /server /server
COPY text /text
LABEL text=$TEXT
EXPOSE 8080
ENTRYPOINT ["/server"]
`

// builds returns the tasks of builds, the newest first.
func (h *host) builds() (all []app.Task) {
	h.t.Helper()
	_, body := h.api("GET", "/api/v1/builds", "", true)
	if err := json.Unmarshal([]byte(body), &all); err != nil {
		h.t.Fatalf("builds: %v\n%s", err, body)
	}
	return all
}

// buildFails builds what must fail, and returns what it says.
func (h *host) buildFails(args ...string) string {
	h.t.Helper()
	code, out, errs := h.lattice(append([]string{"build"}, args...)...)
	if code != 15 || out != "" {
		h.t.Errorf("ltc build %s: exit code %d, stdout %q\n%s", strings.Join(args, " "), code, out, errs)
	}
	if i := strings.Index(errs, "error: "); i >= 0 {
		return errs[i:]
	}
	return errs
}

// TestDockerfiles builds on one machine without internet: a multi-stage Go
// program, what goes wrong, and what is left behind.
func TestDockerfiles(t *testing.T) {
	h := newLab(t, "one").host("one")
	h.up()
	box := boxImage(t)
	h.bring("box:1", box)

	t.Run("a Go program", func(t *testing.T) {
		h.bring("go:1", h.withGo(box))
		dir := h.folder("web", map[string]string{
			"Dockerfile": serverFile, "main.go": server, "go.mod": "module web\n\ngo 1.21\n", "text": "one",
			"secret/key": "S3CRET", ".dockerignore": "secret\n*.log\n!keep.log\n", "huge.log": "S3CRET",
		})
		began := time.Now()
		code, out, errs := h.lattice("create", "web", "--build", dir, "-m", "64")
		if code != 0 || !strings.Contains(out, "web is now running") {
			t.Fatalf("exit code %d\n%s\n%s", code, out, errs)
		}
		t.Logf("built and running after %v", time.Since(began))
		if got := h.mustGet("web."+domain, "/"); got != "built: one" {
			t.Errorf("answer %q", got)
		}
		if err := os.WriteFile(filepath.Join(dir, "text"), []byte("two"), 0o644); err != nil {
			t.Fatal(err)
		}
		code, out, errs = h.lattice("build", "web:2", dir, "--build-arg", "TEXT=t0ps3cret")
		if code != 0 || out != "cluster/web:2\n" || !regexp.MustCompile(`RUN .*go build[^\n]*\n(.*\n)?#\d+ CACHED`).MatchString(errs) {
			t.Errorf("exit code %d, %q; want the step from the cache:\n%s", code, out, errs)
		}
		h.ltc("update", "web", "--image", "cluster/web:2")
		eventually(t, long, "the new image answers", func() string {
			if got := h.mustGet("web."+domain, "/"); got != "built: two" {
				return got
			}
			return ""
		})
		all := h.builds()
		if len(all) != 2 || all[0].Build.Args["TEXT"] != app.Hidden || all[0].Build.Image != "cluster/web:2" {
			t.Errorf("builds: %+v", all)
		}
		if out := h.ltc("images"); !strings.Contains(out, "built of web") {
			t.Errorf("images:\n%s", out)
		}
	})
	t.Run("left out", func(t *testing.T) {
		dir := h.folder("ignored", map[string]string{
			"Dockerfile": "FROM cluster/box:1\nCOPY . /all\nRUN ls /all /all/sub\n", ".dockerignore": "*.log\nnode\n!keep.log\nsub/x\n",
			"a.log": "", "keep.log": "", "node/big": "", "sub/x": "", "sub/y": "",
		})
		code, _, errs := h.lattice("build", "ignored", dir)
		if code != 0 || !regexp.MustCompile(`(?s)keep\.log.*sub\n.* y\n`).MatchString(errs) || regexp.MustCompile(`a\.log|node| x\n`).MatchString(errs) {
			t.Errorf("exit code %d\n%s", code, errs)
		}
	})
	t.Run("what fails says why", func(t *testing.T) {
		file := func(name, text string) string { return h.folder(name, map[string]string{"Dockerfile": text}) }
		for _, c := range []struct{ name, file, want string }{
			{"step", "FROM cluster/box:1\nRUN echo the cause; false", "(?s)the step \\[2/2\\] RUN .* failed with exit code 1; its last lines:\n.*the cause"},
			{"image", "FROM cluster/none:1", "cluster/none:1"},
			{"other", "FROM 10.99.0.77:5000/x", "10.99.0.77:5000"},
			{"syntax", "FROM cluster/box:1\nRUM false", "unknown instruction: RUM"},
			{"file", "FROM cluster/box:1\nCOPY none /", "none.*not found"},
		} {
			if errs := h.buildFails(c.name, file(c.name, c.file)); !regexp.MustCompile(c.want).MatchString(errs) {
				t.Errorf("%s: %s\nwant %s", c.name, errs, c.want)
			}
		}
		greedy := "FROM cluster/box:1\nUSER root\nRUN head -c 300m /dev/zero | tail -c 250m > /dev/null"
		if errs := h.buildFails("greedy", file("greedy", greedy), "-m", "160"); !strings.Contains(errs, "memory limit of 160 MiB") {
			t.Errorf("memory: %s", errs)
		}
		if errs := h.buildFails("slow", file("slow", "FROM cluster/box:1\nRUN sleep 1000"), "--timeout", "5s"); !strings.Contains(errs, "did not end within 5s") {
			t.Errorf("time: %s", errs)
		}
		if errs := h.buildFails("large", file("large", "FROM cluster/box:1\nUSER root\nRUN dd if=/dev/urandom of=/large bs=1M count=60 && sleep 1000"), "-d", "32"); !strings.Contains(errs, "its disk limit is 32 MiB") {
			t.Errorf("disk: %s", errs)
		}
		h.ltc("registry", "allow", "cluster/**")
		if errs := h.buildFails("denied", file("denied", "FROM 10.99.0.77:5000/x")); !strings.Contains(errs, "may not run here") {
			t.Errorf("allow-list: %s", errs)
		}
		h.ltc("registry", "disallow", "cluster/**")
		if code, _, errs := h.lattice("build", "none", h.folder("nothing", map[string]string{"x": ""})); code != 12 || !strings.Contains(errs, "there is no Dockerfile") {
			t.Errorf("no Dockerfile: exit code %d %s", code, errs)
		}
	})
	t.Run("cancel", func(t *testing.T) {
		before, ran := len(h.builds()), h.containerFolders()
		p := h.start("build", "endless", h.folder("endless", map[string]string{"Dockerfile": "FROM cluster/box:1\nRUN echo begun; sleep 1000"}))
		eventually(t, long, "the step runs", func() string {
			b, err := os.ReadFile(p.log)
			if err != nil || !regexp.MustCompile(`#\d+ [\d.]+ begun`).Match(b) {
				return "not yet: " + string(b)
			}
			return ""
		})
		if err := p.cmd.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		p.cmd.Wait()
		if b, _ := os.ReadFile(p.log); p.cmd.ProcessState.ExitCode() != 160 || !bytes.Contains(b, []byte("was cancelled")) {
			t.Errorf("exit code %d\n%s", p.cmd.ProcessState.ExitCode(), b)
		}
		all := h.builds()
		if len(all) != before+1 || !all[0].Cancelled {
			t.Errorf("%+v", all)
		}
		eventually(t, long, "its processes and its container are gone", func() string {
			out, _ := h.command("sh", "-c", "grep -alz '^sleep$' /proc/[0-9]*/cmdline 2>/dev/null | xargs -r grep -alz '^1000$'").CombinedOutput()
			return string(out) + strings.TrimPrefix(h.containerFolders(), ran)
		})
	})
}

// containerFolders lists the containers of the host's cell.
func (h *host) containerFolders() string {
	return h.run("ls", filepath.Join(h.data(), "cell/containerd/containers"))
}
