package app

import (
	"strings"
	"time"
)

// FeatureDockerImages lets apps and tasks run images of other registries.
// Without it bundled ones, and those of the cluster's own registry, still run.
const FeatureDockerImages = "docker-images"

// A Feature is something that an administrator can take away from all users.
type Feature struct {
	Name      string    `json:"name"`
	Enabled   bool      `json:"enabled"`
	About     string    `json:"about"`               // what it is good for, in a sentence
	ChangedAt time.Time `json:"changed_at,omitzero"` // zero: never
	ChangedBy string    `json:"changed_by,omitempty"`
}

// Features returns all there are, as they are until somebody changes them.
func Features() []Feature {
	return []Feature{{Name: FeatureDockerImages, Enabled: true, About: "apps and tasks run images of other registries"}}
}

// Needs returns the feature that an app can't run without, or "".
func (a App) Needs() string {
	if a.Digest == "" || strings.HasPrefix(a.Image, ClusterImages) {
		return ""
	}
	return FeatureDockerImages
}
