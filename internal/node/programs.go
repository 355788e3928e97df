package node

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"time"

	"lattice/api"
	"lattice/app"
)

// programs are the clients that the brain hands out: its own program, and those
// for other systems that somebody put into dir as lattice-OS-ARCH[.exe].
type programs struct {
	dir string

	mu   sync.Mutex // guards what follows
	sums map[string]fileSum
}

// A fileSum is the SHA-256 of a file as it was at a time.
type fileSum struct {
	at   time.Time
	size int64
	hex  string
}

func newPrograms(dir string) *programs { return &programs{dir: dir, sums: map[string]fileSum{}} }

var systemWord = regexp.MustCompile(`^[a-z0-9]{1,20}$`)

// Program implements api.Programs.
func (p *programs) Program(goos, goarch string) (api.Program, error) {
	if !systemWord.MatchString(goos) || !systemWord.MatchString(goarch) {
		return api.Program{}, app.Invalid("%.40q is no system: write it as linux/amd64", goos+"/"+goarch)
	}
	path := "/proc/self/exe" // what runs, also when the file was replaced meanwhile
	if goos != runtime.GOOS || goarch != runtime.GOARCH {
		path = filepath.Join(p.dir, "lattice-"+goos+"-"+goarch)
		if goos == "windows" {
			path += ".exe"
		}
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return api.Program{}, fmt.Errorf("program for %s/%s %w here: there is %s; put another into %s of the brain as %s",
			goos, goarch, app.ErrNotFound, strings.Join(p.there(), ", "), p.dir, filepath.Base(path))
	}
	if err != nil {
		return api.Program{}, fmt.Errorf("open the program: %w", err)
	}
	info, err := f.Stat()
	if err == nil {
		var sum string
		if sum, err = p.sum(path, f, info); err == nil {
			return api.Program{File: f, Size: info.Size(), SHA256: sum}, nil
		}
	}
	return api.Program{}, errors.Join(fmt.Errorf("read the program: %w", err), f.Close())
}

// sum returns the SHA-256 of f, and leaves it at its beginning.
func (p *programs) sum(path string, f *os.File, info fs.FileInfo) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s, ok := p.sums[path]; ok && s.at.Equal(info.ModTime()) && s.size == info.Size() {
		return s.hex, nil
	}
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	s := fileSum{info.ModTime(), info.Size(), hex.EncodeToString(h.Sum(nil))}
	p.sums[path] = s
	return s.hex, nil
}

// there lists the systems that there is a program for.
func (p *programs) there() []string {
	all := []string{runtime.GOOS + "/" + runtime.GOARCH}
	files, err := os.ReadDir(p.dir)
	if err != nil {
		return all // most brains have no such folder
	}
	for _, f := range files {
		rest, ok := strings.CutPrefix(strings.TrimSuffix(f.Name(), ".exe"), "lattice-")
		if goos, goarch, two := strings.Cut(rest, "-"); ok && two {
			all = append(all, goos+"/"+goarch)
		}
	}
	return all
}
