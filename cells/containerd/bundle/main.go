// Command bundle packs the programs that lattice carries: it compresses each
// file that is named into FOLDER/NAME.zst and writes their SHA-256 sums, of the
// uncompressed files, to FOLDER/SHA256SUMS in the format of sha256sum.
//
//	bundle FOLDER FILE...
package main

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"
)

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: bundle FOLDER FILE...")
		os.Exit(2)
	}
	if err := pack(os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "bundle:", err)
		os.Exit(1)
	}
}

func pack(dir string, files []string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBestCompression))
	if err != nil {
		return err
	}
	var sums strings.Builder
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		name := filepath.Base(f)
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(b), name)
		packed := enc.EncodeAll(b, nil)
		if err := os.WriteFile(filepath.Join(dir, name+".zst"), packed, 0o644); err != nil {
			return err
		}
		fmt.Printf("%-26s %5.1f MB, packed %4.1f MB\n", name, float64(len(b))/1e6, float64(len(packed))/1e6)
	}
	// Last, for its presence says that all is there.
	return os.WriteFile(filepath.Join(dir, "SHA256SUMS"), []byte(sums.String()), 0o644)
}
