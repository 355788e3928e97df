package cluster

import (
	"bytes"
	"fmt"
	"slices"

	"lattice/app"
)

// SetKeys makes keys, of KeySize bytes each, those of this node: it seals its
// messages with the first and understands all of them, and no others. To change
// keys without a stop let all nodes have the new one as a further key, then as
// the first, and only then drop the old one.
func (c *Cluster) SetKeys(keys [][]byte) error {
	if len(keys) == 0 {
		return app.Invalid("a node needs a gossip key")
	}
	for _, k := range keys {
		if len(k) != KeySize {
			return app.Invalid("the gossip key has %d bytes, it needs %d", len(k), KeySize)
		}
	}
	c.rekeying.Lock()
	defer c.rekeying.Unlock()
	for _, k := range keys {
		if err := c.keys.AddKey(k); err != nil {
			return fmt.Errorf("install gossip key: %w", err)
		}
	}
	if err := c.keys.UseKey(keys[0]); err != nil {
		return fmt.Errorf("use gossip key: %w", err)
	}
	// Backwards, for RemoveKey moves what comes after the key in a list that
	// memberlist may just be reading.
	for _, old := range slices.Backward(c.keys.GetKeys()) {
		if slices.ContainsFunc(keys, func(k []byte) bool { return bytes.Equal(k, old) }) {
			continue
		}
		if err := c.keys.RemoveKey(old); err != nil {
			return fmt.Errorf("remove gossip key: %w", err)
		}
	}
	poke(c.roster.wake) // whoever was lost for want of a key may answer now
	return nil
}
