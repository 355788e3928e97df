package cluster

// The inside, for tests.
var (
	DecodeMeta = decodeMeta
	EncodeMeta = Meta.encode
)

// Suspect acts as if a probe of the named node had failed.
func (c *Cluster) Suspect(name string) { c.roster.suspect(name) }
