package node

import (
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
)

// peersFile remembers the addresses of other nodes, so that a node finds the
// cluster again even when the one it first joined through is gone.
type peersFile struct{ dataDir string }

func (p peersFile) path() string { return filepath.Join(p.dataDir, "peers.json") }

func (p peersFile) save(addrs []string) error {
	data, err := json.Marshal(addrs)
	if err != nil {
		return err
	}
	return saveFile(p.path(), data)
}

// load returns what is remembered. It is a convenience: a file that can't be
// read is told of and not needed.
func (p peersFile) load(log *slog.Logger) []string {
	var addrs []string
	data, err := os.ReadFile(p.path())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(data, &addrs)
	}
	if err != nil {
		log.Warn("addresses of other nodes not read", "err", err)
	}
	return addrs
}
