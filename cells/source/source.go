// Package source is the inside of a container that builds an image: it takes
// the order and the source from the brain, and leaves what became of them. It is
// for programs that run there.
package source

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"time"

	"lattice/app"
	"lattice/internal/tarball"
)

// waitTime is how long the container waits for its order.
const waitTime = 10 * time.Minute

// An Owner is who all files of the source belong to; zero: root.
type Owner struct{ UID, GID int }

// Receive waits for the order, unpacks the source to dir, and says so to who
// sent it.
func Receive(ctx context.Context, dir string, o Owner) (order app.BuildOrder, err error) {
	ln, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(app.BuildPort)))
	if err != nil {
		return order, fmt.Errorf("wait for the source: %w", err)
	}
	defer ln.Close()
	defer context.AfterFunc(ctx, func() { ln.Close() })()
	if err := ln.(*net.TCPListener).SetDeadline(time.Now().Add(waitTime)); err != nil {
		return order, err
	}
	conn, err := ln.Accept()
	if err != nil {
		return order, fmt.Errorf("no source has come: %w", err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	order, err = take(conn, dir, o)
	answer := "ok"
	if err != nil {
		answer = err.Error()
	}
	_, answered := io.WriteString(conn, answer+"\n")
	return order, errors.Join(err, answered)
}

// maxOrder is far more than an order can have.
const maxOrder = 16 << 20

func take(conn io.Reader, dir string, o Owner) (order app.BuildOrder, err error) {
	r := bufio.NewReaderSize(conn, 64<<10)
	line, err := io.ReadAll(&line{r: r, left: maxOrder})
	if err == nil {
		err = json.Unmarshal(line, &order)
	}
	if err != nil {
		return order, fmt.Errorf("read the order: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return order, err
	}
	z, err := gzip.NewReader(r)
	if err != nil {
		return order, fmt.Errorf("the source is not packed with gzip: %w", err)
	}
	limit := &limited{r: z, left: int64(order.DiskMB) << 20, most: order.DiskMB}
	skipped := func(name, why string) { fmt.Printf("left out %s: %s\n", name, why) }
	if err := tarball.Extract(limit, dir, tarball.Options{Skipped: skipped}); err != nil {
		return order, fmt.Errorf("unpack the source: %w", err)
	}
	return order, own(dir, o)
}

// own gives all files to o.
func own(dir string, o Owner) error {
	if o == (Owner{}) {
		return nil
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	return walk(root, func(name string) error { return root.Lchown(name, o.UID, o.GID) })
}

// A line is read to its end.
type line struct {
	r    *bufio.Reader
	left int
	over bool
}

func (l *line) Read(p []byte) (int, error) {
	if l.over {
		return 0, io.EOF
	}
	n := 0
	for n < len(p) {
		b, err := l.r.ReadByte()
		if err != nil {
			return n, io.ErrUnexpectedEOF
		}
		if l.over = b == '\n'; l.over {
			break
		}
		if l.left--; l.left < 0 {
			return n, errors.New("it is too long")
		}
		p[n] = b
		n++
	}
	return n, nil
}

// limited is an error when there is more than it lets through.
type limited struct {
	r    io.Reader
	left int64
	most int // MiB, for people
}

func (l *limited) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	if l.left -= int64(n); l.left < 0 {
		return n, fmt.Errorf("it has more than %d MiB, the disk limit of the build: give it more with --disk-mb, or leave files out", l.most)
	}
	return n, err
}

// Finish writes down how the build ended, says it, and returns the exit code.
func Finish(out app.BuildOutcome, err error) int {
	code := 0
	if err != nil {
		out.Digest, out.Error, code = "", clip(err.Error()), 1
	}
	data, err := json.Marshal(out)
	if err == nil {
		err = os.WriteFile(app.BuildResult, data, 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "how the build ended can't be written down:", err)
		return 1
	}
	return code
}

// clip keeps what a result can hold.
func clip(text string) string {
	const most = app.MaxResultBytes / 3 // as JSON it may grow
	if len(text) > most {
		return "… " + text[len(text)-most:]
	}
	return text
}
