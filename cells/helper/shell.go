package main

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// A noProgram says that there is nothing to run.
type noProgram struct{ text string }

func (e *noProgram) Error() string { return e.text }

// shells are tried after the user's own.
var shells = []string{"/bin/bash", "/bin/sh", "/bin/ash", "/usr/bin/bash", "/usr/bin/sh"}

// shell becomes the user's shell: for a person or, with isLine, for that line.
// Where the image has no shell, a line is run without one.
func shell(line string, isLine bool) error {
	user := passwd(os.Getuid())
	path := find(append([]string{os.Getenv("SHELL"), user.shell}, shells...))
	env := environment(user, path)
	switch {
	case path == "" && isLine:
		return direct(line, env)
	case path == "":
		return &noProgram{"this image has no shell: run one of its programs with `ltc exec APP -- /PATH/OF/PROGRAM`, look at its files with `ltc cp APP:/PATH .`"}
	case isLine:
		return become(path, []string{filepath.Base(path), "-c", line}, env)
	}
	return become(path, []string{"-" + filepath.Base(path)}, env) // the dash makes it a login shell
}

func become(path string, args, env []string) error {
	return fmt.Errorf("start %s: %w", path, syscall.Exec(path, args, env))
}

// find returns the first that is a program, and no means to keep people out.
func find(paths []string) string {
	for _, p := range paths {
		switch filepath.Base(p) {
		case "nologin", "false", "true", "sync", ".":
			continue
		}
		if info, err := os.Stat(p); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return p
		}
	}
	return ""
}

// direct runs a line without a shell: words, quotes and backslashes are
// understood, and nothing else.
func direct(line string, env []string) error {
	args, err := words(line)
	if err != nil {
		return &noProgram{err.Error()}
	}
	if len(args) == 0 {
		return nil
	}
	path, err := exec.LookPath(args[0])
	if err != nil {
		return &noProgram{fmt.Sprintf("%s: not found (this image has no shell, so only its own programs can be run)", args[0])}
	}
	if err := become(path, args, env); errors.Is(err, fs.ErrNotExist) {
		return &noProgram{err.Error()}
	} else {
		return err
	}
}

// words splits a line as a shell does that knows quotes and backslashes only.
func words(line string) ([]string, error) {
	var all []string
	var word strings.Builder
	started, quote := false, rune(0)
	runes := []rune(line)
	for i := 0; i < len(runes); i++ {
		switch r := runes[i]; {
		case r == '\\' && quote != '\'' && i+1 < len(runes):
			i++
			word.WriteRune(runes[i])
			started = true
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '\'' || r == '"':
			quote, started = r, true
		case strings.ContainsRune(" \t\n", r):
			if started {
				all = append(all, word.String())
				word.Reset()
			}
			started = false
		case strings.ContainsRune("|&;<>()$`", r):
			return nil, fmt.Errorf("this image has no shell, so %q can't be used in a command", string(r))
		default:
			word.WriteRune(r)
			started = true
		}
	}
	if quote != 0 {
		return nil, fmt.Errorf("a quote %c is not closed", quote)
	}
	if started {
		all = append(all, word.String())
	}
	return all, nil
}

// An account is a line of /etc/passwd.
type account struct{ name, home, shell string }

// passwd returns the account of uid; an empty one if there is none.
func passwd(uid int) account {
	f, err := os.Open("/etc/passwd")
	if err != nil {
		return account{}
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		p := strings.Split(lines.Text(), ":")
		if len(p) >= 7 && p[2] == strconv.Itoa(uid) {
			return account{p[0], p[5], p[6]}
		}
	}
	return account{}
}

// environment is ours with what a login adds to it.
func environment(user account, shell string) []string {
	env := os.Environ()
	for name, value := range map[string]string{"USER": user.name, "LOGNAME": user.name, "HOME": cmp.Or(user.home, "/"), "SHELL": shell} {
		if os.Getenv(name) == "" && value != "" {
			env = append(env, name+"="+value)
		}
	}
	return env
}
