package cluster

// The inside, for tests.
var (
	DecodeMeta = decodeMeta
	EncodeMeta = Meta.encode
)
