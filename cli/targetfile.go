package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// defaultTarget is the name of the target that is used unless another one is
// the current.
const defaultTarget = "default"

// A target is a brain and what it takes to talk to it. It is a secret.
type target struct {
	URL    string `json:"url"`
	Token  string `json:"token,omitempty"`
	CA     string `json:"ca,omitempty"`     // certificates in PEM; empty: the system's
	Domain string `json:"domain,omitempty"` // apps are at NAME.Domain
}

// targets is the target file.
type targets struct {
	Current string            `json:"current"`
	Targets map[string]target `json:"targets"`
}

// targetPath returns where the target file is.
func targetPath() (string, error) {
	home := os.Getenv("LATTICE_CLI_HOME")
	if home == "" {
		var err error
		if home, err = os.UserHomeDir(); err != nil {
			return "", &failure{code: exitFile, err: err, hint: "set LATTICE_CLI_HOME to the folder that shall hold .lattice/config.json"}
		}
	}
	return filepath.Join(home, ".lattice", "config.json"), nil
}

// loadTargets reads the target file. One that isn't there has no targets.
func loadTargets() (targets, error) {
	ts := targets{Current: defaultTarget, Targets: map[string]target{}}
	path, err := targetPath()
	if err != nil {
		return ts, err
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return ts, nil
	}
	if err != nil {
		return ts, fail(exitFile, fmt.Errorf("read the target file: %w", err))
	}
	if err := json.Unmarshal(data, &ts); err != nil {
		return ts, &failure{code: exitFile, err: fmt.Errorf("read the target file %s: %w", path, err), hint: "mend it, or delete it and set the target again"}
	}
	if ts.Targets == nil {
		ts.Targets = map[string]target{}
	}
	return ts, nil
}

// saveTarget puts t into the target file under name and makes it the current
// one. The file is only ever seen whole, and only by its owner.
func saveTarget(name string, t target) error {
	ts, err := loadTargets()
	if err != nil {
		return err
	}
	ts.Current = name
	ts.Targets[name] = t
	return saveTargets(ts)
}

// saveTargets replaces the target file.
func saveTargets(ts targets) error {
	path, err := targetPath()
	if err != nil {
		return err
	}
	data, err := json.MarshalIndent(ts, "", "  ")
	if err != nil {
		return err
	}
	if err := writeSecret(path, append(data, '\n')); err != nil {
		return fail(exitFile, fmt.Errorf("save the target: %w", err))
	}
	return nil
}

// writeSecret replaces the file at path by data. The folder and the file are
// for their owner only.
func writeSecret(path string, data []byte) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".config-*") // 0600
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// currentTarget returns the target to talk to: the current one of the target
// file, or what LATTICE_TARGET (a name or a URL), LATTICE_TOKEN and LATTICE_CA (a
// file) say.
// Token and CA of the file go to no other URL than the one they belong to.
func currentTarget() (target, error) {
	ts, err := loadTargets()
	if err != nil {
		return target{}, err
	}
	t := ts.Targets[ts.Current]
	if s := os.Getenv("LATTICE_TARGET"); s != "" && ts.Targets[s].URL != "" {
		t = ts.Targets[s]
	} else if s != "" {
		url, err := targetURL(s)
		if err != nil {
			return target{}, fmt.Errorf("LATTICE_TARGET: %w", err)
		}
		if url != t.URL {
			t = target{URL: url}
		}
	}
	if s := os.Getenv("LATTICE_TOKEN"); s != "" {
		t.Token = strings.TrimSpace(s)
	}
	if path := os.Getenv("LATTICE_CA"); path != "" {
		if t.CA, err = readCA(path); err != nil {
			return target{}, fmt.Errorf("LATTICE_CA: %w", err)
		}
	}
	if t.URL == "" {
		return target{}, errNoTarget
	}
	return t, nil
}
