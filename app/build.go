package app

import (
	"cmp"
	"maps"
	"path"
	"slices"
	"strings"
	"time"
)

// Limits and defaults of a Build.
const (
	DefaultBuildMemoryMB = 1024
	DefaultBuildDiskMB   = 8192
	DefaultBuildTimeout  = 30 * time.Minute
	MaxBuildArgs         = 256
	MaxBuildArgBytes     = 32 << 10

	BuildPort      = 9                              // of the loopback interface inside a build's container: where it waits for its BuildOrder and source
	BuildImage     = "lattice/builder"              // the bundled image that Dockerfiles are built in
	BuildResult    = "/build.json"                  // the BuildOutcome, inside the container
	BuildProgram   = "/dev/lattice/lattice-builder" // what builds Dockerfiles, inside the container
	HelperProgram  = "/dev/lattice-helper"          // what leads buildpacks, inside the container
	RegistrySocket = "/run/lattice/registry.sock"
	BuildHeader    = "X-Lattice-Build" // of a request to the registry: a build asks, and only its token counts
)

// A Build says how source becomes an image. It is run as a task.
type Build struct {
	Image string `json:"image"`          // cluster/NAME[:TAG]: what comes of it
	From  string `json:"from,omitempty"` // what the source is, for people

	Dockerfile string            `json:"dockerfile,omitempty"` // path in the source; empty: Dockerfile
	Target     string            `json:"target,omitempty"`     // stage to stop at; empty: the last
	Args       map[string]string `json:"args,omitempty"`       // of the Dockerfile, or the environment of buildpacks; values are secrets
	NoCache    bool              `json:"no_cache,omitempty"`   // of former builds nothing is used

	Builder    string   `json:"builder,omitempty"`    // image that has buildpacks; empty: a Dockerfile is built
	Buildpacks []string `json:"buildpacks,omitempty"` // ID[@VERSION] of the builder's, in this order; none: it finds out itself
}

// A BuildRequest is a Build and what it may use. 0 stands for the default.
type BuildRequest struct {
	Build
	MemoryMB  int      `json:"memory_mb,omitempty"`
	DiskMB    int      `json:"disk_mb,omitempty"` // of source and layers that are made
	CPUWeight int      `json:"cpu_weight,omitempty"`
	Timeout   Duration `json:"timeout,omitzero"`
}

// A BuildOrder is what a build's container is told before its source comes.
type BuildOrder struct {
	Build
	Token string `json:"token"` // for the registry, as long as the build runs

	MemoryMB int `json:"memory_mb"`
	DiskMB   int `json:"disk_mb"`
}

// A BuildOutcome is what became of a build.
type BuildOutcome struct {
	Image  string `json:"image,omitempty"`
	Digest string `json:"digest,omitempty"` // sha256:…; empty: there is no image
	Error  string `json:"error,omitempty"`  // a sentence, with the last lines of the step that failed
}

// A BuiltImage is how an image of the cluster came about.
type BuiltImage struct {
	At    time.Time `json:"at"`
	By    string    `json:"by"`              // Dockerfile, or the image of the builder
	Packs bool      `json:"packs,omitempty"` // By is a builder
	From  string    `json:"from"`            // Build.From
	Task  string    `json:"task"`
}

// By says in a word what makes the image.
func (b Build) By() string {
	if b.Builder != "" {
		return b.Builder
	}
	return b.DockerfilePath()
}

// DockerfilePath returns where the Dockerfile is in the source.
func (b Build) DockerfilePath() string {
	if b.Dockerfile == "" {
		return "Dockerfile"
	}
	return path.Clean(b.Dockerfile)
}

// Validate returns what is wrong with b, as ErrInvalid. It does not look at how
// images are named.
func (b Build) Validate() error {
	var p problems
	if !strings.HasPrefix(b.Image, ClusterImages) || strings.Contains(b.Image, "@") {
		p.add("the image %s is not one that can be built: write %sNAME or %[2]sNAME:TAG", quote(b.Image), ClusterImages)
	}
	file := b.DockerfilePath()
	if path.IsAbs(file) || file == ".." || strings.HasPrefix(file, "../") || strings.ContainsFunc(file, isControl) {
		p.add("the Dockerfile %s must be inside of the folder that is built", quote(b.Dockerfile))
	}
	if b.Builder != "" && (b.Dockerfile != "" || b.Target != "") {
		p.add("a builder takes no Dockerfile and no target: leave out either")
	}
	if b.Builder == "" && len(b.Buildpacks) > 0 {
		p.add("buildpacks need a builder, an image that has them")
	}
	if len(b.Args) > MaxBuildArgs || len(b.Buildpacks) > MaxBuildArgs {
		p.add("at most %d arguments and buildpacks are possible", MaxBuildArgs)
	}
	for _, name := range slices.Sorted(maps.Keys(b.Args)) {
		if !isVariable(name) || len(b.Args[name]) > MaxBuildArgBytes || hasNUL(b.Args[name]) {
			p.add("the argument %s must be NAME=VALUE with at most %d bytes", quote(name), MaxBuildArgBytes)
		}
	}
	for _, text := range append([]string{b.From, b.Target}, b.Buildpacks...) {
		if len(text) > MaxPathBytes || strings.ContainsFunc(text, isControl) {
			p.add("%s is too long, or has characters that can't be printed", quote(text))
		}
	}
	return p.err()
}

// Task returns the task that carries out r.
func (r BuildRequest) Task() Task {
	a := App{
		Image: BuildImage, User: "0:0", Command: []string{BuildProgram}, Instances: 1, NoRoutes: true,
		MemoryMB: cmp.Or(r.MemoryMB, DefaultBuildMemoryMB), DiskMB: cmp.Or(r.DiskMB, DefaultBuildDiskMB), CPUWeight: r.CPUWeight,
	}
	if r.Builder != "" {
		a.Image, a.Command = r.Builder, []string{HelperProgram, "buildpacks"}
	}
	b := r.Build
	name := TaskName("build-" + path.Base(strings.TrimPrefix(b.Image, ClusterImages)))
	return Task{Name: name, Spec: a, TaskOptions: TaskOptions{
		Build: &b, ResultFile: BuildResult, Timeout: Duration(cmp.Or(time.Duration(r.Timeout), DefaultBuildTimeout)),
	}}
}

// withoutSecrets returns b with the names of its arguments only.
func (b Build) withoutSecrets() *Build {
	b.Args = maps.Clone(b.Args)
	for name := range b.Args {
		b.Args[name] = Hidden
	}
	return &b
}
