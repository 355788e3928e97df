package cluster

import (
	"fmt"

	"lattice/app"
)

// InstallKey makes this node understand messages sealed with key, of KeySize
// bytes. To change keys: install the new one on all nodes, then use it on all,
// then remove the old one from all.
func (c *Cluster) InstallKey(key []byte) error {
	if len(key) != KeySize {
		return app.Invalid("the gossip key has %d bytes, it needs %d", len(key), KeySize)
	}
	if err := c.keys.AddKey(key); err != nil {
		return fmt.Errorf("install gossip key: %w", err)
	}
	return nil
}

// UseKey seals this node's messages with key, which must be installed.
func (c *Cluster) UseKey(key []byte) error {
	if err := c.keys.UseKey(key); err != nil {
		return fmt.Errorf("use gossip key: %w", err)
	}
	return nil
}

// RemoveKey forgets key. The key in use can't be removed.
func (c *Cluster) RemoveKey(key []byte) error {
	if err := c.keys.RemoveKey(key); err != nil {
		return fmt.Errorf("remove gossip key: %w", err)
	}
	return nil
}
