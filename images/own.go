package images

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/opencontainers/go-digest"
)

// Where the library has what, below the folder of a Registry.
const (
	storageRoot  = "storage"             // of its driver
	library      = "/docker/registry/v2" // as its driver names it
	repositories = storageRoot + library + "/repositories"
	blobFolder   = storageRoot + library + "/blobs"
)

// blobFile is where the library has a blob, below the folder of a Registry.
func blobFile(d digest.Digest) string {
	return filepath.Join(blobFolder, d.Algorithm().String(), d.Encoded()[:2], d.Encoded(), "data")
}

// Own returns the files of the images that exist nowhere else, because they were
// pushed or built, in the folder of a Registry: relative to it, in any order.
// Those of other registries can be had again. The Registry may be in use.
func Own(dir string) ([]string, error) {
	root := filepath.Join(dir, repositories)
	files := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		name, relErr := filepath.Rel(root, path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case errors.Join(err, relErr) != nil:
			return errors.Join(err, relErr)
		case name == ".":
			return nil
		case d.IsDir() && (d.Name() == "_uploads" || fromStored(filepath.ToSlash(name)+"/x").host != ""):
			return fs.SkipDir
		case d.IsDir():
			return nil
		}
		files[filepath.Join(repositories, name)] = true
		if d.Name() == "link" {
			addBlob(files, path)
		}
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	all := make([]string, 0, len(files))
	for f := range files {
		all = append(all, f)
	}
	return all, err
}

// addBlob adds what a link leads to.
func addBlob(files map[string]bool, link string) {
	text, err := os.ReadFile(link)
	d := digest.Digest(strings.TrimSpace(string(text)))
	if err != nil || d.Validate() != nil {
		return // deleted a moment ago
	}
	files[blobFile(d)] = true
}
