package logfile

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"lattice/app"
)

// A segment is one file of a log.
type segment struct {
	first uint64 // Seq of the first line it has or accounts for
	size  int64  // bytes
	mod   time.Time
}

const segmentExt = ".log"

func segmentPath(dir string, first uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%020d%s", first, segmentExt))
}

// segments lists the segments in dir, oldest first.
func segments(dir string) ([]segment, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var segs []segment
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), segmentExt)
		first, err := strconv.ParseUint(name, 10, 64)
		if !ok || err != nil || first == 0 {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, os.ErrNotExist) {
			continue // dropped just now
		}
		if err != nil {
			return nil, err
		}
		segs = append(segs, segment{first, info.Size(), info.ModTime()})
	}
	return segs, nil
}

// LastSeq returns the Seq of the last line of the log in dir that nobody writes
// any more, 0 if it has none.
func LastSeq(dir string) (uint64, error) {
	segs, err := segments(dir)
	if err != nil || len(segs) == 0 {
		return 0, err
	}
	last, _, err := survey(dir, segs[len(segs)-1].first)
	return last, err
}

// survey reads a segment to the end of its last good line and returns where
// that is and the line's Seq, which is first-1 when there is no line.
func survey(dir string, first uint64) (last uint64, size int64, err error) {
	last = first - 1
	f, err := os.Open(segmentPath(dir, first))
	if err != nil {
		return last, 0, err
	}
	defer f.Close()
	br := bufio.NewReaderSize(f, app.MaxLogLine+1)
	for {
		line, err := br.ReadSlice('\n')
		if err == io.EOF || errors.Is(err, bufio.ErrBufferFull) {
			return last, size, nil
		}
		if err != nil {
			return last, size, err
		}
		l, err := app.ParseLogLine(line)
		if err != nil || l.Seq <= last {
			return last, size, nil
		}
		last, size = l.Seq, size+int64(len(line))
	}
}
