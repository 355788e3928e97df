package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
)

// fastestRate is the shortest pause between two pictures of status --rate.
const fastestRate = 100 * time.Millisecond

func newStatus(st *streams) *cobra.Command {
	var view statusView
	var rate time.Duration
	cmd := &cobra.Command{
		Use:     "status APP",
		Aliases: []string{"st"},
		GroupID: groupSee,
		Short:   "Show an app and its instances",
		Example: st.name + " status hello\n" + st.name + " status hello --rate 1s",
		Args:    args(1, 1, "APP"),
	}
	cmd.Flags().BoolVarP(&view.detailed, "detailed", "d", false, "show all that is known of each instance")
	cmd.Flags().BoolVar(&view.env, "show-env", false, "show the values of the environment, which may be secret")
	cmd.Flags().DurationVarP(&rate, "rate", "r", 0, "on a terminal, draw again each `DURATION`")
	out := formatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if rate < 0 || 0 < rate && rate < fastestRate {
			return usage(cmd, "--rate %v: must be at least %v", rate, fastestRate)
		}
		b, err := connect()
		if err != nil {
			return err
		}
		show := func(ctx context.Context, s *screen) error {
			got, err := b.App(ctx, args[0])
			if err != nil {
				return fmt.Errorf("status of %s: %w", args[0], err)
			}
			if !view.env {
				got = hideEnv(got)
			}
			if *out != asTable {
				return out.encode(s, got)
			}
			view.write(s, got, time.Now())
			return nil
		}
		if rate == 0 || !st.out.tty || *out != asTable {
			return show(cmd.Context(), st.out)
		}
		return redraw(cmd.Context(), st.out, rate, show)
	}
	return cmd
}

// redraw shows the same thing again and again in place, until ctx ends or it
// can't be shown.
func redraw(ctx context.Context, s *screen, every time.Duration, show func(context.Context, *screen) error) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	io.WriteString(s, "\x1b[?25l") // the cursor would flicker
	defer io.WriteString(s, "\x1b[?25h")
	drawn := 0
	for {
		var picture bytes.Buffer
		if err := show(ctx, &screen{w: &picture, color: s.color, tty: s.tty, fd: s.fd}); err != nil {
			return err
		}
		width, height := s.size()
		lines := fit(picture.String(), width-1, height-1) // a full line would wrap
		frame := strings.Join(lines, "\x1b[K\n") + "\x1b[K\n\x1b[J"
		if drawn > 0 {
			frame = fmt.Sprintf("\x1b[%dA", drawn) + frame
		}
		io.WriteString(s, frame)
		drawn = len(lines)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// fit returns the lines of text cut to width characters and height lines, so
// that the terminal neither wraps nor scrolls them.
func fit(text string, width, height int) []string {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if len(lines) > height {
		more := fmt.Sprintf("… and %d lines more", len(lines)-height+1)
		lines = append(lines[:max(0, height-1)], more)
	}
	for i, l := range lines {
		lines[i] = cut(l, width)
	}
	return lines
}

// cut returns the first width characters of line, colours not counted.
func cut(line string, width int) string {
	shown, colored := 0, false
	for i := 0; i < len(line); {
		if n := colourSequence(line[i:]); n > 0 {
			colored = true
			i += n
			continue
		}
		if shown == width {
			if colored {
				return line[:i] + "\x1b[0m"
			}
			return line[:i]
		}
		_, n := utf8.DecodeRuneInString(line[i:])
		shown++
		i += n
	}
	return line
}
