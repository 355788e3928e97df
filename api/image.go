package api

import (
	"strings"

	"github.com/distribution/reference"

	"lattice/app"
)

// validImage returns nil if ref can name an image, else app.ErrInvalid.
func validImage(ref string) error {
	if ref == "" {
		return nil // app.App's Validate has said so
	}
	_, err := reference.ParseNormalizedNamed(ref)
	if err == nil {
		return nil
	}
	name, digest, pinned := strings.Cut(ref, "@")
	scheme, rest, has := strings.Cut(ref, "://")
	switch {
	case has:
		return app.Invalid("the image %.200q starts with %.20s://: leave that out and write %.200q", ref, scheme, rest)
	case strings.ContainsAny(ref, " \t\r\n"):
		return app.Invalid("the image %.200q has a space in it", ref)
	case lowered(name) != name && parses(lowered(name)):
		return app.Invalid("the image %.200q has upper-case letters in its name: write %.200q", ref, lowered(name)+strings.TrimPrefix(ref, name))
	case pinned && parses(name):
		return app.Invalid("the image %.200q has the digest %.80q: it must be sha256: and 64 of 0-9 and a-f", ref, digest)
	case len(ref) > reference.RepositoryNameTotalLengthMax:
		return app.Invalid("the image %.200q has a name of more than %d characters", ref, reference.RepositoryNameTotalLengthMax)
	}
	return app.Invalid("the image %.200q is no name of an image: write NAME, NAME:TAG or HOST[:PORT]/NAME[:TAG], such as nginx:1.27 or registry.example.com:5000/team/app", ref)
}

// lowered returns name with everything but its tag in lower case.
func lowered(name string) string {
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') {
		return strings.ToLower(name[:i]) + name[i:]
	}
	return strings.ToLower(name)
}

func parses(ref string) bool {
	_, err := reference.ParseNormalizedNamed(ref)
	return err == nil
}
