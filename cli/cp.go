package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"lattice/app"
	"lattice/internal/tarball"
)

func newCp(st *streams) *cobra.Command {
	var archive bool
	cmd := &cobra.Command{
		Use:     "cp SOURCE DESTINATION",
		GroupID: groupSSH,
		Short:   "Copy files and folders from or to an instance",
		Long: `Copy a file or a folder from or to an instance of an app or a task, which is written
as APP:PATH or APP/INDEX:PATH. It goes into the destination if that is a folder,
else by its name. Of a source that ends with /. only the content is copied. A - is
a tar stream on standard input or output. Images need neither a shell nor tar.

What is copied belongs to the app's user there, and to you here; --archive keeps
the owners, by number.`,
		Example: st.name + " cp web:/var/log/nginx ./logs\n" +
			st.name + " cp ./site/. web/1:/usr/share/nginx/html\n" +
			st.name + " cp db:/data - | gzip > data.tar.gz",
		Args: args(2, 2, "SOURCE and DESTINATION"),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveDefault
		},
	}
	index := indexFlag(cmd)
	cmd.Flags().BoolVarP(&archive, "archive", "a", false, "keep owners and setuid bits")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		from, fromPath, away := remotePath(args[0])
		to, toPath, there := remotePath(args[1])
		if away == there {
			return usage(cmd, "one of source and destination must be in an instance, as APP:PATH, and the other one here")
		}
		name := from
		if there {
			name = to
		}
		in, err := findInside(cmd, name, *index)
		if err != nil {
			return err
		}
		if there {
			return st.copyTo(cmd.Context(), in, args[0], toPath, archive)
		}
		return st.copyFrom(cmd.Context(), in, fromPath, args[1], archive)
	}
	return cmd
}

// remotePath splits APP:PATH. What begins with a dot or a slash is of here, and
// so is what Windows calls C:\.
func remotePath(text string) (name, path string, ok bool) {
	name, path, ok = strings.Cut(text, ":")
	if !ok || name == "" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "/") || strings.ContainsRune(name, '\\') ||
		runtime.GOOS == "windows" && len(name) == 1 {
		return "", "", false
	}
	if path == "" {
		path = "."
	}
	return name, path, true
}

// skippedFile tells of what can't be copied.
func (st *streams) skippedFile(name, why string) { st.warn("left out %s: %s", name, why) }

// copyTo copies from here to an instance.
func (st *streams) copyTo(ctx context.Context, in inside, from, to string, archive bool) error {
	if from != "-" {
		if _, err := os.Lstat(from); err != nil {
			return fail(exitFile, err)
		}
	}
	l, err := in.open(ctx, app.SessionRequest{Kind: app.SessionWrite, Path: to, Owners: archive})
	if err != nil {
		return fmt.Errorf("copy to %s: %w", in, err)
	}
	defer l.Abort()
	defer context.AfterFunc(ctx, l.Abort)()
	read := make(chan error, 1)
	go func() {
		var err error
		if from == "-" {
			_, err = io.Copy(linkWriter{l, app.ChanIn}, st.in)
		} else {
			err = tarball.Write(linkWriter{l, app.ChanIn}, from, st.skippedFile)
		}
		if err != nil && !errors.Is(err, errLink) {
			l.Abort() // half a file must not look like a whole one
			read <- err
			return
		}
		_ = l.Send(app.ChanIn, nil) // else the session is over
		read <- nil
	}()
	err = st.copied(in, l, io.Discard)
	select {
	case readErr := <-read:
		if readErr != nil {
			return fail(exitFile, readErr)
		}
	default: // it still waits to send, which is over
	}
	return err
}

// errLink says that the session is over, about which others tell more.
var errLink = errors.New("session over")

type linkWriter struct {
	link app.Link
	ch   app.Channel
}

func (w linkWriter) Write(p []byte) (int, error) {
	for done := 0; done < len(p); {
		n := min(len(p)-done, app.MaxFrame)
		if err := w.link.Send(w.ch, p[done:done+n]); err != nil {
			return done, errLink
		}
		done += n
	}
	return len(p), nil
}

// copyFrom copies from an instance to here.
func (st *streams) copyFrom(ctx context.Context, in inside, from, to string, archive bool) error {
	l, err := in.open(ctx, app.SessionRequest{Kind: app.SessionRead, Path: from})
	if err != nil {
		return fmt.Errorf("copy from %s: %w", in, err)
	}
	defer l.Abort()
	defer context.AfterFunc(ctx, l.Abort)()
	if to == "-" {
		return st.copied(in, l, st.out)
	}
	r, w := io.Pipe()
	unpacked := make(chan error, 1)
	go func() {
		err := tarball.Extract(r, to, tarball.Options{Owners: archive, Skipped: st.skippedFile})
		r.CloseWithError(err)
		unpacked <- err
	}()
	err = st.copied(in, l, w)
	if err != nil {
		w.CloseWithError(errLink)
	} else {
		w.Close()
	}
	if local := <-unpacked; local != nil && !errors.Is(local, errLink) && (err == nil || errors.Is(err, errHere)) {
		return fail(exitFile, local)
	}
	return err
}

// errHere says that what comes can't be taken.
var errHere = errors.New("not taken")

// copied hands on what the session brings to its end, and tells how that was.
func (st *streams) copied(in inside, l app.Link, out io.Writer) error {
	var said remoteText
	for {
		ch, data, err := l.Receive()
		switch {
		case err != nil:
			return lost(in, err)
		case ch == app.ChanOut && len(data) > 0:
			if _, err := out.Write(data); err != nil {
				return errHere
			}
		case ch == app.ChanErr:
			_, _ = said.Write(data) // can't fail
		case ch == app.ChanEnd:
			_ = l.Close() // it is over
			return st.copyEnd(in, data, said.lines())
		}
	}
}

func (st *streams) copyEnd(in inside, data []byte, said []string) error {
	var e app.SessionEnd
	if err := json.Unmarshal(data, &e); err != nil {
		return fail(exitSession, fmt.Errorf("read the end of the session: %w", err))
	}
	switch {
	case e.Reason != "":
		return &failure{code: exitSession, err: errors.New(e.Reason), hint: noHint}
	case e.Code != 0 && len(said) > 0:
		return &failure{code: exitFile, err: fmt.Errorf("in %s: %s", in, said[0]), lines: said[1:], hint: noHint}
	case e.Code != 0:
		return &failure{code: exitFile, err: fmt.Errorf("in %s: the copy ended with code %d", in, e.Code), hint: noHint}
	}
	for _, line := range said {
		st.warn("%s: %s", in, line)
	}
	return nil
}
