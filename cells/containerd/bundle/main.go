// Command bundle packs the programs that lattice carries: it compresses all files
// that are named, one behind the other, into FOLDER/programs.zst, and writes
// FOLDER/programs.txt, which has a line with SHA-256 sum, size and name of each.
// Together they are a third smaller than one by one, since all are Go programs
// that have much in common. It needs Debian's zstd.
//
//	bundle FOLDER FILE...
package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var list strings.Builder
	var all bytes.Buffer
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		fmt.Fprintf(&list, "%x %d %s\n", sha256.Sum256(b), len(b), filepath.Base(f))
		fmt.Printf("%-26s %5.1f MB\n", filepath.Base(f), float64(len(b))/1e6)
		all.Write(b)
	}
	packed := filepath.Join(dir, "programs.zst")
	// The window must reach back to the first program.
	cmd := exec.Command("zstd", "-19", "--long=26", "-q", fmt.Sprintf("--stream-size=%d", all.Len()), "-o", packed)
	cmd.Stdin, cmd.Stderr = &all, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("run zstd: %w", err)
	}
	info, err := os.Stat(packed)
	if err != nil {
		return err
	}
	fmt.Printf("%-26s %5.1f MB\n", "packed", float64(info.Size())/1e6)
	// Last, for its presence says that all is there.
	return os.WriteFile(filepath.Join(dir, "programs.txt"), []byte(list.String()), 0o644)
}
