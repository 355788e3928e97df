// Logger stands for lattice-logger in the tests of this package: it keeps the
// contract of the package comment and writes plain files.
package main

import (
	"flag"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

func main() {
	dir := flag.String("dir", "", "folder of the output")
	_ = flag.String("app", "", "")
	_ = flag.Int("index", 0, "")
	_ = flag.String("guid", "", "")
	flag.Parse()
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	var wg sync.WaitGroup
	for fd, name := range map[uintptr]string{3: "stdout", 4: "stderr"} {
		f, err := os.OpenFile(filepath.Join(*dir, name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			panic(err)
		}
		wg.Go(func() { _, _ = io.Copy(f, os.NewFile(fd, name)) })
	}
	ready := os.NewFile(5, "ready")
	_, _ = ready.Write([]byte{0})
	_ = ready.Close()
	wg.Wait()
	select {
	case <-term:
	case <-time.After(100 * time.Millisecond):
	}
}
