package cli

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"

	"lattice/app"
	"lattice/internal/tarball"
)

// A source is a folder that is sent to be built, without what is left out of it.
type source struct {
	dir    string
	ignore *patternmatcher.PatternMatcher
	always []string // files that are sent whatever the patterns say
}

// openSource looks at a folder, and for what a Dockerfile build or one by
// buildpacks leaves out of it.
func openSource(dir string, b app.Build) (*source, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return nil, fail(exitFile, fmt.Errorf("the folder to build can't be read: %w", err))
	}
	if !info.IsDir() {
		return nil, fail(exitFile, fmt.Errorf("%s is a file: name the folder that is to be built", dir))
	}
	s := &source{dir: dir}
	var patterns []string
	if b.Builder != "" {
		patterns, err = s.patterns(gitPatterns, ".cfignore", ".gitignore")
		patterns = append(patterns, "**/.git", "**/.cfignore")
	} else {
		file := b.DockerfilePath()
		if _, err := os.Stat(filepath.Join(dir, filepath.FromSlash(file))); err != nil {
			return nil, &failure{code: exitFile, err: fmt.Errorf("there is no %s in %s", file, dir),
				hint: "name it with --file, or let buildpacks find out how to build it with --builder IMAGE"}
		}
		own := file + ".dockerignore"
		s.always = []string{file, own, ".dockerignore"}
		patterns, err = s.patterns(ignorefile.ReadAll, own, ".dockerignore")
	}
	if err == nil {
		s.ignore, err = patternmatcher.New(patterns)
	}
	if err != nil {
		return nil, fail(exitFile, fmt.Errorf("read which files to leave out: %w", err))
	}
	return s, nil
}

// patterns reads the first of the files that is there.
func (s *source) patterns(read func(io.Reader) ([]string, error), files ...string) ([]string, error) {
	for _, name := range files {
		f, err := os.Open(filepath.Join(s.dir, filepath.FromSlash(name)))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		defer f.Close()
		patterns, err := read(f)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name(), err)
		}
		return patterns, nil
	}
	return nil, nil
}

// gitPatterns reads a file as git does and returns patterns as Docker has them:
// a name without a slash counts in every folder.
func gitPatterns(r io.Reader) (patterns []string, err error) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line := strings.TrimRight(lines.Text(), " \t\r")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		line, not := strings.CutPrefix(line, "!")
		line = strings.TrimSuffix(line, "/")
		if rooted := strings.TrimPrefix(line, "/"); rooted != line || strings.Contains(rooted, "/") {
			line = rooted
		} else {
			line = "**/" + line
		}
		if not {
			line = "!" + line
		}
		patterns = append(patterns, line)
	}
	return patterns, lines.Err()
}

// wanted is for tarball.WriteSome.
func (s *source) wanted(rel string, dir bool) (take, enter bool) {
	if rel == "." {
		return true, true
	}
	for _, name := range s.always {
		if rel == name || dir && strings.HasPrefix(name, rel+"/") {
			return true, true
		}
	}
	out, err := s.ignore.MatchesOrParentMatches(rel)
	if err != nil || !out {
		return true, true // the pattern was read before, so there is no error
	}
	return false, s.ignore.Exclusions()
}

// size returns how many bytes the files have that are sent.
func (s *source) size() (total int64, err error) {
	err = filepath.WalkDir(s.dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(s.dir, p)
		if err != nil {
			return err
		}
		take, enter := s.wanted(filepath.ToSlash(rel), d.IsDir())
		if info, err := d.Info(); err == nil && take && info.Mode().IsRegular() {
			total += info.Size()
		}
		if d.IsDir() && !enter {
			return filepath.SkipDir
		}
		return nil
	})
	return total, err
}

// pack returns the source as it is sent. told is called with how much of its
// files is read. Closing it early ends the packing.
func (s *source) pack(told func(done int64), skipped func(name, why string)) io.ReadCloser {
	r, w := io.Pipe()
	go func() {
		z, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
		if err == nil {
			err = tarball.WriteSome(&counter{w: z, told: told}, s.dir+"/.", s.wanted, skipped)
		}
		if err == nil {
			err = z.Close()
		}
		w.CloseWithError(err)
	}()
	return r
}

// A counter tells how much was written.
type counter struct {
	w    io.Writer
	n    int64
	told func(int64)
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	if c.told != nil {
		c.told(c.n)
	}
	return n, err
}
