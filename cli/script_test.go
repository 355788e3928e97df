package cli

import (
	"context"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

var update = flag.Bool("update", false, "rewrite the expected output in testdata/script")

func TestMain(m *testing.M) {
	run := func() { os.Exit(Main(context.Background(), os.Args, os.Stdin, os.Stdout, os.Stderr)) }
	testscript.Main(m, map[string]func(){"ltc": run, "lattice": run})
}

// TestScripts runs testdata/script against a real API server with a fake brain
// behind it. Commands of our own:
//
//	brain FILE            gives the fake brain its apps, cells and steps
//	exits CODE ARGS...    runs a program that must end with CODE
//	perm PATH MODE        checks the permission of a file
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:           "testdata/script",
		UpdateScripts: *update,
		Setup: func(env *testscript.Env) error {
			b, url, ca := serve(t, env.Defer)
			env.Values["brain"] = b
			for name, text := range map[string]string{"ca.pem": ca, "token": testToken + "\n"} {
				if err := os.WriteFile(filepath.Join(env.WorkDir, name), []byte(text), 0o600); err != nil {
					return err
				}
			}
			env.Setenv("URL", url)
			env.Setenv("TOKEN", testToken)
			env.Setenv("LATTICE_CLI_HOME", env.WorkDir)
			env.Setenv("TZ", "UTC")
			for _, name := range []string{"LATTICE_TARGET", "LATTICE_TOKEN", "LATTICE_CA", "NO_COLOR"} {
				env.Setenv(name, "")
			}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"brain": loadBrain,
			"exits": exits,
			"perm":  perm,
		},
	})
}

func loadBrain(ts *testscript.TestScript, _ bool, args []string) {
	f, err := os.Open(ts.MkAbs(args[0]))
	ts.Check(err)
	defer f.Close()
	ts.Check(ts.Value("brain").(*fakeBrain).load(f))
}

func exits(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("%s ended with %d, want %d", strings.Join(args[1:], " "), got, want)
	}
}

func perm(ts *testscript.TestScript, _ bool, args []string) {
	info, err := os.Stat(ts.MkAbs(args[0]))
	ts.Check(err)
	if got := strconv.FormatUint(uint64(info.Mode().Perm()), 8); got != args[1] {
		ts.Fatalf("%s has permission %s, want %s", args[0], got, args[1])
	}
}
