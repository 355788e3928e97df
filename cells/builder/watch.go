package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/moby/buildkit/client"
	pb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/opencontainers/go-digest"

	"lattice/app"
)

// lastLines is how many of a step that failed an error has.
const lastLines = 20

// A record is what was heard of the steps of a build.
type record struct {
	steps map[digest.Digest]*step
	order []digest.Digest
}

type step struct {
	name   string
	failed string
	tail   []byte // of what it printed
}

const maxTail = 8 << 10

func (r *record) step(d digest.Digest) *step {
	s := r.steps[d]
	if s == nil {
		s = &step{}
		r.steps[d] = s
		r.order = append(r.order, d)
	}
	return s
}

// hear takes note of news.
func (r *record) hear(st *client.SolveStatus) {
	for _, v := range st.Vertexes {
		s := r.step(v.Digest)
		s.name, s.failed = v.Name, v.Error
	}
	for _, l := range st.Logs {
		s := r.step(l.Vertex)
		s.tail = append(s.tail, l.Data...)
		s.tail = s.tail[max(0, len(s.tail)-maxTail):]
	}
}

// explain makes a sentence of what a build failed of.
func (r *record) explain(err error, memoryMB int, killed bool) error {
	var failed *step
	for _, d := range r.order {
		if s := r.steps[d]; s.failed != "" && !strings.Contains(s.failed, "context canceled") {
			failed = s
			break
		}
	}
	var exit *pb.ExitError
	if failed == nil || !errors.As(err, &exit) {
		return plain(err)
	}
	text := fmt.Sprintf("the step %s failed with exit code %d", failed.name, exit.ExitCode)
	if killed {
		text = fmt.Sprintf("the step %s was killed, because the build used more than its memory limit of %d MiB: give it more with --memory-mb", failed.name, memoryMB)
	}
	lines := strings.Split(strings.TrimRight(string(failed.tail), "\n"), "\n")
	lines = lines[max(0, len(lines)-lastLines):]
	if last := strings.Join(lines, "\n  "); last != "" {
		text += "; its last lines:\n  " + last
	}
	return errors.New(ours(text))
}

// throughProxy is in errors of requests to the registry.
const throughProxy = ` "http://`

// plain leaves out of an error what only says where in BuildKit it arose.
func plain(err error) error {
	text := err.Error()
	for _, noise := range []string{"failed to solve: ", "failed to read dockerfile: ", "failed to load cache key: ", "dockerfile parse error on "} {
		text = strings.ReplaceAll(text, noise, "")
	}
	if i := strings.LastIndex(text, throughProxy); i >= 0 { // what follows is a sentence
		if _, sentence, ok := strings.Cut(text[i:], ": "); ok {
			text = sentence
		}
	}
	return errors.New(ours(text))
}

// named prints the names of the cluster's images as people know them.
type named struct{ w io.Writer }

func (n named) Write(p []byte) (int, error) {
	text := ours(string(p))
	if _, err := io.WriteString(n.w, text); err != nil {
		return 0, err
	}
	return len(p), nil
}

// ours undoes what BuildKit takes the names of our images for.
func ours(text string) string {
	text = strings.ReplaceAll(text, "docker.io/"+app.ClusterImages, app.ClusterImages)
	return strings.ReplaceAll(text, app.ClusterHost+"/", app.ClusterImages)
}
