package archive

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"lattice/app"
)

// Save writes an image of a registry to a file, as `docker save` does. The file
// has all of it, or what it had before.
func Save(ctx context.Context, from To, file string) (err error) {
	ref, err := name.ParseReference(from.Host + "/" + from.Repo)
	if err != nil {
		return app.Invalid("%q is no name for an image: %v", from.Repo, err)
	}
	img, err := remote.Image(ref, remote.WithContext(ctx), remote.WithTransport(from.Via), remote.WithAuth(&authn.Basic{Username: "lattice", Password: from.Token}))
	if err != nil {
		return fmt.Errorf("get %s: %w", from.Repo, err)
	}
	called, err := name.NewTag(from.Repo)
	if err != nil {
		return app.Invalid("%q is no name for an image: %v", from.Repo, err)
	}
	f, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+"-*")
	if err != nil {
		return err
	}
	err = tarball.Write(called, img, f)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("save %s: %w", from.Repo, err), os.Remove(f.Name()))
	}
	return nil
}
