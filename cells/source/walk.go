package source

import (
	"io/fs"
	"os"
)

// walk calls fn with each file below root, folders first. Links are not followed.
func walk(root *os.Root, fn func(name string) error) error {
	return fs.WalkDir(root.FS(), ".", func(name string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return fn(name)
	})
}
