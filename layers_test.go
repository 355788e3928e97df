package main_test

import (
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
)

const module = "lattice/"

// mayImport says for each package which of ours it may import; "*" is all. A
// package that isn't here fails the test: a new folder must be a noun a user
// would say, or a process boundary.
func mayImport() map[string]string {
	return map[string]string{
		".":             "cli",
		"cli":           "api app images/archive cli/tui internal/node internal/config internal/install internal/doctor internal/selftest internal/story internal/manifest internal/compose scheduler scheduler/simulate internal/tarball",
		"cli/tui":       "api app",
		"internal/node": "*",
		"internal/e2e":  "*",

		"internal/selftest": "api app",
		"internal/story":    "app",
		"internal/doctor":   "app",

		"internal/bench/start":     "api app",
		"internal/bench/images":    "api app",
		"internal/bench/router":    "app router",
		"internal/bench/scheduler": "app scheduler scheduler/simulate",
		"internal/bench/scale":     "*",

		"app":                "",
		"api":                "app",
		"scheduler":          "app",
		"scheduler/simulate": "app scheduler",
		"store":              "app",
		"cluster":            "app",
		"router":             "app router/wire",
		"logs":               "app",
		"events":             "app",
		"web":                "",
		"images":             "app internal/run",

		"images/archive": "app",

		"sessions":      "app",
		"sessions/sshd": "app",

		"sessions/sessionstest": "app cells",

		"router/wire":  "",
		"router/certs": "",

		"cells":            "app",
		"cells/containerd": "app cells internal/du",
		"cells/volumes":    "app internal/du",
		"cells/network":    "app cells",
		"cells/logfile":    "app",
		"cells/logpipe":    "app cells/logfile",
		"cells/session":    "app cells",
		"cells/layers":     "app internal/run",
		"cells/helper":     "app cells/source internal/tarball",
		"cells/source":     "app internal/tarball",
		"cells/builder":    "app cells/source",

		"cells/containerd/bundle": "",

		"internal/config": "app",
		"internal/pki":    "app",

		"internal/manifest": "app",
		"internal/compose":  "app internal/manifest",
		"internal/run":      "",
		"internal/du":       "",

		"internal/systemd": "",
		"internal/install": "app",
		"internal/tarball": "",

		"store/storetest":      "app store",
		"examples/hello":       "",
		"examples/hello/image": "",
	}
}

// soleImporter says for each heavy dependency which package alone may import it.
// Of the programs that run in containers each is a world of its own.
func soleImporter() map[string]string {
	return map[string]string{
		"github.com/gin-gonic/gin":         "api",
		"go.etcd.io/bbolt":                 "store cells/builder",
		"github.com/hashicorp/memberlist":  "cluster",
		"github.com/containerd/":           "cells/containerd cells/builder",
		"github.com/moby/buildkit":         "cells/builder",
		"github.com/moby/patternmatcher":   "cli",
		"github.com/opencontainers/runc":   "cells/containerd",
		"github.com/vishvananda/netlink":   "cells/network",
		"github.com/google/nftables":       "cells/network",
		"github.com/spf13/viper":           "internal/config",
		"github.com/compose-spec":          "internal/compose",
		"github.com/spf13/cobra":           "cli",
		"github.com/caddyserver/certmagic": "router/certs",
		"github.com/netresearch/go-cron":   "scheduler",
		"github.com/charmbracelet/":        "cli/tui",
		"github.com/chromedp/":             "internal/e2e",

		"github.com/coder/websocket":            "api",
		"golang.org/x/crypto/ssh":               "sessions/sshd",
		"github.com/pkg/sftp":                   "cells/helper",
		"github.com/distribution/distribution/": "images",
	}
}

func TestLayers(t *testing.T) {
	rules, heavy := mayImport(), soleImporter()
	for _, f := range sources(t) {
		allowed, known := rules[f.pkg]
		if !known {
			t.Errorf("%s: package %s has no line in mayImport", f.name, f.pkg)
			continue
		}
		for _, imp := range f.imports {
			if ours, ok := strings.CutPrefix(imp, module); ok && !permits(allowed, f, ours) {
				t.Errorf("%s: %s must not import %s", f.name, f.pkg, ours)
			}
			for dep, owner := range heavy {
				if strings.HasPrefix(imp, dep) && !slices.Contains(strings.Fields(owner), f.pkg) && !f.test {
					t.Errorf("%s: only %s may import %s", f.name, owner, imp)
				}
			}
		}
	}
}

// permits reports whether f may import ours. A test may use the real thing where
// its package only has an interface, but nothing from above.
func permits(allowed string, f source, ours string) bool {
	return allowed == "*" || slices.Contains(strings.Fields(allowed), ours) ||
		f.test && ours != "cli" && ours != "internal/node"
}

// The command line must build where no containers run, so nothing of a server
// may be linked there. TestLayers sees to it that containerd comes with cells.
func TestClientHasNoServer(t *testing.T) {
	server := []string{"internal/node", "cells", "cells/containerd", "cells/network", "cluster", "store"}
	all := sources(t)
	for _, goos := range []string{"darwin", "windows"} {
		linked := map[string]bool{".": true}
		for queue := []string{"."}; len(queue) > 0; queue = queue[1:] {
			for _, f := range all {
				if f.pkg != queue[0] || f.test || !f.builtFor(t, goos) {
					continue
				}
				for _, imp := range f.imports {
					ours, ok := strings.CutPrefix(imp, module)
					switch {
					case !ok || linked[ours]:
					case slices.Contains(server, ours):
						t.Errorf("%s: on %s the command line would link %s; import it in a file for linux only", f.name, goos, ours)
					default:
						linked[ours] = true
						queue = append(queue, ours)
					}
				}
			}
		}
	}
}

func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	docs := map[string][]source{}
	for _, f := range sources(t) {
		if f.test {
			continue
		}
		files := docs[f.pkg]
		if f.doc != "" {
			files = append(files, f)
		}
		docs[f.pkg] = files // even if it is nil
	}
	for pkg, files := range docs {
		start := "Package " + path.Base(pkg) + " "
		switch {
		case len(files) == 0:
			t.Errorf("package %s has no comment", pkg)
		case len(files) > 1:
			t.Errorf("package %s has a comment in %s and in %s; keep one", pkg, files[0].name, files[1].name)
		case !strings.HasPrefix(files[0].doc, start) && !strings.HasPrefix(files[0].doc, "Command "):
			t.Errorf("%s: the comment must begin with %q", files[0].name, start)
		}
	}
}

// A source is what the tests look at in one Go file.
type source struct {
	name    string // path from the module's root
	pkg     string // its folder; "." is the root
	test    bool
	imports []string
	doc     string // of the package
}

// builtFor reports whether the file is part of the program on goos.
func (f source) builtFor(t *testing.T, goos string) bool {
	t.Helper()
	ctx := build.Default
	ctx.GOOS, ctx.CgoEnabled = goos, false
	ok, err := ctx.MatchFile(f.pkg, path.Base(f.name))
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

// sources reads the files here, not through the go command: the test cache sees
// only files that the test itself opens.
func sources(t *testing.T) []source {
	t.Helper()
	found := map[string]source{}
	err := fs.WalkDir(os.DirFS("."), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && name != "." && (strings.HasPrefix(d.Name(), ".") || slices.Contains([]string{"testdata", "bin", "build", "vendor"}, d.Name())) {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			return err
		}
		found[name] = read(name, f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return slices.SortedFunc(maps.Values(found), func(a, b source) int { return strings.Compare(a.name, b.name) })
}

func read(name string, f *ast.File) source {
	s := source{name: name, pkg: path.Dir(name), test: strings.HasSuffix(name, "_test.go"), doc: f.Doc.Text()}
	for _, i := range f.Imports {
		s.imports = append(s.imports, strings.Trim(i.Path.Value, `"`))
	}
	return s
}
