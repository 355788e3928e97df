package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/moby/buildkit/client"
	pb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/opencontainers/go-digest"
)

func TestExplain(t *testing.T) {
	heard := func(failed string) *record {
		r := &record{steps: map[digest.Digest]*step{}}
		r.hear(&client.SolveStatus{
			Vertexes: []*client.Vertex{{Digest: "a", Name: "[1/2] FROM cluster/box", Error: "context canceled"}, {Digest: "b", Name: "[2/2] RUN make", Error: failed}},
			Logs:     []*client.VertexLog{{Vertex: "b", Data: []byte(strings.Repeat("line\n", 100) + "the cause\n")}},
		})
		return r
	}
	exit := fmt.Errorf("failed to solve: %w", &pb.ExitError{ExitCode: 2})
	for want, got := range map[string]error{
		"the step [2/2] RUN make failed with exit code 2; its last lines:\n  line":                    heard("exit").explain(exit, 64, false),
		"the step [2/2] RUN make was killed, because the build used more than its memory limit of 64": heard("exit").explain(exit, 64, true),
		"cluster/none:1: not found":    heard("").explain(errors.New("failed to solve: docker.io/cluster/none:1: not found"), 64, false),
		"the image x may not run here": heard("").explain(errors.New(`x: failed to do request: Head "http://registry/v2/x/manifests/1?ns=y%3A5": the image x may not run here`), 64, false),
	} {
		if !strings.HasPrefix(got.Error(), want) || strings.Count(got.Error(), "line") > lastLines+1 {
			t.Errorf("%v\nwant %s", got, want)
		}
	}
}
