package main

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"

	"lattice/app"
	"lattice/cells/source"
)

const (
	creator     = "/cnb/lifecycle/creator"
	platformAPI = "0.12" // which lifecycles speak from 0.17 on

	// localRegistry is where the lifecycle finds the cluster's registry. Of hosts
	// of that name it knows that they speak without TLS.
	localRegistry = "localhost:5000"

	cacheTag = "lattice-build-cache" // of the image that keeps layers between builds
)

// buildpacks leads a build by the lifecycle that is in the builder's image, and
// returns its exit code.
func buildpacks() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	return source.Finish(runBuildpacks(ctx))
}

func runBuildpacks(ctx context.Context) (out app.BuildOutcome, err error) {
	owner, err := builderUser()
	if err != nil {
		return out, err
	}
	order, err := source.Receive(ctx, "/workspace", owner)
	if err != nil {
		return out, err
	}
	if _, err := os.Stat(creator); err != nil {
		return out, fmt.Errorf("the image %s is no builder: it has no %s", order.Builder, creator)
	}
	if err := forwardRegistry(ctx); err != nil {
		return out, err
	}
	args, err := creatorArgs(order.Build)
	if err == nil {
		err = prepare(order.Build, owner)
	}
	if err != nil {
		return out, err
	}
	before, tail := source.OOMKills(), &lastLines{}
	cmd := exec.CommandContext(ctx, creator, args...)
	cmd.Env = append(os.Environ(), "CNB_REGISTRY_AUTH="+credentials(order.Token))
	if os.Getenv("CNB_PLATFORM_API") == "" {
		cmd.Env = append(cmd.Env, "CNB_PLATFORM_API="+platformAPI)
	}
	cmd.Stdout, cmd.Stderr = io.MultiWriter(os.Stdout, tail), io.MultiWriter(os.Stderr, tail)
	if err := cmd.Run(); err != nil {
		if source.OOMKills() > before {
			return out, fmt.Errorf("a buildpack was killed, because the build used more than its memory limit of %d MiB: give it more with --memory-mb", order.MemoryMB)
		}
		return out, explainExit(err, tail)
	}
	digest, err := builtDigest()
	return app.BuildOutcome{Image: order.Image, Digest: digest}, err
}

// builderUser returns who buildpacks run as.
func builderUser() (source.Owner, error) {
	uid, err1 := strconv.Atoi(cmp.Or(os.Getenv("CNB_USER_ID"), "1000"))
	gid, err2 := strconv.Atoi(cmp.Or(os.Getenv("CNB_GROUP_ID"), "1000"))
	if err := errors.Join(err1, err2); err != nil {
		return source.Owner{}, fmt.Errorf("the builder's CNB_USER_ID and CNB_GROUP_ID must be numbers: %w", err)
	}
	return source.Owner{UID: uid, GID: gid}, nil
}

// credentials opens the registry to the lifecycle, which keeps them from
// buildpacks.
func credentials(token string) string {
	b, _ := json.Marshal(map[string]string{localRegistry: "Basic " + base64.StdEncoding.EncodeToString([]byte("build:"+token))}) // can't fail
	return string(b)
}

// creatorArgs say what to build and what to put it on.
func creatorArgs(b app.Build) ([]string, error) {
	name := localRegistry + "/" + strings.TrimPrefix(b.Image, app.ClusterImages)
	repo, _, _ := strings.Cut(strings.TrimPrefix(b.Image, app.ClusterImages), ":")
	args := []string{"-app=/workspace", "-layers=/layers", "-platform=/platform", "-report=/layers/report.toml", "-cache-image=" + localRegistry + "/" + repo + ":" + cacheTag}
	run, err := runImage()
	if err != nil {
		return nil, err
	}
	if run != "" {
		args = append(args, "-run-image="+localRegistry+"/"+atRegistry(run))
	}
	if len(b.Buildpacks) > 0 {
		args = append(args, "-order=/layers/order.toml")
	}
	if b.NoCache {
		args = append(args, "-skip-restore")
	}
	return append(args, name), nil
}

// prepare makes the folders and files that the lifecycle reads.
func prepare(b app.Build, o source.Owner) error {
	for _, dir := range []string{"/layers", "/platform/env"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	for name, value := range b.Args {
		if err := os.WriteFile(filepath.Join("/platform/env", name), []byte(value), 0o644); err != nil {
			return err
		}
	}
	if len(b.Buildpacks) > 0 {
		text, err := orderFile("/cnb/buildpacks", b.Buildpacks)
		if err == nil {
			err = os.WriteFile("/layers/order.toml", []byte(text), 0o644)
		}
		if err != nil {
			return err
		}
	}
	return os.Chown("/layers", o.UID, o.GID)
}

// orderFile returns an order.toml of the buildpacks that are named, which must be
// in dir. Without a version there must be one only.
func orderFile(dir string, packs []string) (string, error) {
	var text strings.Builder
	text.WriteString("[[order]]\n")
	for _, pack := range packs {
		id, version, _ := strings.Cut(pack, "@")
		entries, err := os.ReadDir(filepath.Join(dir, strings.ReplaceAll(id, "/", "_")))
		if errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("the builder has no buildpack %s", id)
		}
		if err != nil {
			return "", err
		}
		if version == "" && len(entries) != 1 {
			return "", fmt.Errorf("the builder has %d versions of the buildpack %s: choose one with %[2]s@VERSION", len(entries), id)
		}
		if version == "" {
			version = entries[0].Name()
		}
		fmt.Fprintf(&text, "[[order.group]]\nid = %q\nversion = %q\n", id, version)
	}
	return text.String(), nil
}

var imageLine = regexp.MustCompile(`(?m)^\s*(?:image|run-image)\s*=\s*"([^"]+)"`)

// runImage returns the first image that the builder names to put apps on; empty
// when it names none.
func runImage() (string, error) {
	for _, file := range []string{"/cnb/run.toml", "/cnb/stack.toml"} {
		text, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		if m := imageLine.FindSubmatch(text); m != nil {
			return string(m[1]), nil
		}
	}
	return "", nil
}

// atRegistry returns where the cluster's registry has an image, as images.Path
// does, with its tag or digest.
func atRegistry(image string) string {
	if own, ok := strings.CutPrefix(image, app.ClusterImages); ok {
		return own
	}
	host, rest, ok := strings.Cut(image, "/")
	if !ok || !strings.ContainsAny(host, ".:") && host != "localhost" {
		host, rest = "docker.io", image
	}
	if host == "index.docker.io" || host == "registry-1.docker.io" {
		host = "docker.io"
	}
	if host == "docker.io" && !strings.Contains(rest, "/") {
		rest = "library/" + rest
	}
	return strings.Replace(host, ":", "_", 1) + "/" + rest
}

// forwardRegistry makes the cluster's registry answer at localRegistry until ctx
// ends.
func forwardRegistry(ctx context.Context) error {
	ln, err := net.Listen("tcp", strings.Replace(localRegistry, "localhost", "127.0.0.1", 1))
	if err != nil {
		return fmt.Errorf("offer the registry to the lifecycle: %w", err)
	}
	context.AfterFunc(ctx, func() { ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go carry(conn)
		}
	}()
	return nil
}

// carry copies both ways until one side ends.
func carry(conn net.Conn) {
	defer conn.Close()
	to, err := net.Dial("unix", app.RegistrySocket)
	if err != nil {
		fmt.Fprintln(os.Stderr, "the cluster's registry can't be reached:", err)
		return
	}
	defer to.Close()
	go func() {
		_, _ = io.Copy(to, conn) // what breaks breaks for the lifecycle, which says so
		to.(*net.UnixConn).CloseWrite()
	}()
	_, _ = io.Copy(conn, to)
}

var digestLine = regexp.MustCompile(`(?m)^\s*digest\s*=\s*"(sha256:[0-9a-f]{64})"`)

// builtDigest reads the digest of the image from the lifecycle's report.
func builtDigest() (string, error) {
	text, err := os.ReadFile("/layers/report.toml")
	if err != nil {
		return "", fmt.Errorf("the lifecycle has left no report: %w", err)
	}
	m := digestLine.FindSubmatch(text)
	if m == nil {
		return "", errors.New("the lifecycle's report has no digest")
	}
	return string(m[1]), nil
}

// explainExit says what the lifecycle's exit code means.
func explainExit(err error, tail *lastLines) error {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return fmt.Errorf("run the lifecycle: %w", err)
	}
	why := fmt.Sprintf("the lifecycle failed with exit code %d", exit.ExitCode())
	switch code := exit.ExitCode(); {
	case code == 20:
		why = "none of the builder's buildpacks fits the source"
	case code > 20 && code < 30:
		why = fmt.Sprintf("a buildpack failed while it looked whether it fits the source (the lifecycle's exit code is %d)", code)
	case code >= 50 && code < 60:
		why = fmt.Sprintf("a buildpack failed to build (the lifecycle's exit code is %d)", code)
	}
	return fmt.Errorf("%s; the last lines:\n  %s", why, strings.ReplaceAll(tail.text(), "\n", "\n  "))
}
