package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// A browser is a page of a real Chromium without a window.
type browser struct {
	t   *testing.T
	ctx context.Context
	url string // of what it looks at, without a path
	dir string // of its own data

	mu     sync.Mutex // guards what follows
	errors []string   // of the page's scripts, and what its policy refused
}

// newBrowser opens a browser that is gone when the test ends.
func newBrowser(t *testing.T, url string) *browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal("there is no chromium: run `make test-deps`")
	}
	dir, err := os.MkdirTemp("", "lattice-browser-")
	if err != nil {
		t.Fatal(err)
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.UserDataDir(dir), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.IgnoreCertErrors, chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.Flag("enable-precise-memory-info", true), chromedp.Flag("renderer-process-limit", "1"),
		chromedp.WSURLReadTimeout(60*time.Second),
	)
	alloc, endAlloc := chromedp.NewExecAllocator(context.Background(), opts...)
	b := &browser{t: t, url: url, dir: dir}
	ctx, end := chromedp.NewContext(alloc, chromedp.WithListener(b.listen))
	b.ctx = ctx
	t.Cleanup(func() {
		if t.Failed() {
			b.keepPicture()
		}
		_ = chromedp.Cancel(ctx) // waits for its processes
		end()
		endAlloc()
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("remove the browser's folder: %v", err)
		}
	})
	b.run(chromedp.EmulateViewport(1440, 900))
	return b
}

// listen notes what goes wrong in the page.
func (b *browser) listen(ev any) {
	text := ""
	switch ev := ev.(type) {
	case *runtime.EventExceptionThrown:
		text = fmt.Sprintf("%s %+v", ev.ExceptionDetails.Text, ev.ExceptionDetails.Exception)
	case *log.EventEntryAdded:
		if ev.Entry.Level == log.EntryLevelError && ev.Entry.Source != log.EntrySourceNetwork { // what was refused is asked for on purpose
			text = ev.Entry.Text
		}
	case *runtime.EventConsoleAPICalled:
		if ev.Type == runtime.ConsoleAPICalledTypeError {
			for _, a := range ev.Args {
				text += " " + string(a.Value)
			}
		}
	}
	if text != "" {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.errors = append(b.errors, text)
	}
}

// mustHaveNoErrors fails the test if a script of the page failed.
func (b *browser) mustHaveNoErrors() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.errors {
		b.t.Errorf("in the page: %s", e)
	}
	b.errors = nil
}

func (b *browser) keepPicture() {
	ctx, cancel := context.WithTimeout(b.ctx, 20*time.Second)
	defer cancel()
	if png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot()); err == nil {
		name := filepath.Join(os.TempDir(), "lattice-browser-failed.png")
		if os.WriteFile(name, png, 0o600) == nil {
			b.t.Logf("the page when the test failed is in %s", name)
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.t.Logf("errors in the page: %q", b.errors)
}

// run does steps in the page.
func (b *browser) run(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := b.limited()
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.t.Fatalf("the browser: %v", err)
	}
}

// limited returns a context for one step. That of the first must outlive it.
func (b *browser) limited() (context.Context, context.CancelFunc) {
	if chromedp.FromContext(b.ctx).Target == nil {
		return b.ctx, func() {}
	}
	return context.WithTimeout(b.ctx, 60*time.Second)
}

// open loads a path of the site anew.
func (b *browser) open(path string) {
	b.t.Helper()
	b.run(chromedp.Navigate(b.url + path))
}

// eval returns what an expression is in the page.
func eval[T any](b *browser, expression string) T {
	b.t.Helper()
	ctx, cancel := b.limited()
	defer cancel()
	out, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("the browser: %s: %v", expression, err)
	}
	return out
}

// until waits until an expression is true in the page.
func (b *browser) until(what, expression string) {
	b.t.Helper()
	eventually(b.t, 60*time.Second, what, func() string {
		if eval[bool](b, "!!("+expression+")") {
			return ""
		}
		return "the page: " + eval[string](b, "location.pathname + ': ' + document.body?.innerText.slice(0, 1500)")
	})
}

// see waits until the page's text has the words.
func (b *browser) see(words string) {
	b.t.Helper()
	b.until(fmt.Sprintf("the page shows %q", words), "document.body?.innerText.includes("+js(words)+")")
}

// click clicks a button or link by its words.
func (b *browser) click(words string) {
	b.t.Helper()
	x := chromedp.Search(fmt.Sprintf(`//*[(self::button or self::a) and (normalize-space()=%[1]q or normalize-space(text()[1])=%[1]q or @aria-label=%[1]q)]`, words))
	b.run(chromedp.WaitVisible(x), chromedp.ScrollIntoView(x), chromedp.Click(x))
}

// fill types into a field, in place of what it has.
func (b *browser) fill(selector, text string) {
	b.t.Helper()
	field := chromedp.CSS(selector)
	b.run(chromedp.WaitVisible(field))
	eval[bool](b, fmt.Sprintf(`(() => { const f = document.querySelector(%s); f.focus(); f.select(); return true; })()`, js(selector)))
	b.run(chromedp.SendKeys(field, text))
}

// confirm clicks the button of the dialog that is open.
func (b *browser) confirm() {
	b.t.Helper()
	button := chromedp.CSS("dialog[open] button.primary")
	b.run(chromedp.WaitVisible(button), chromedp.Click(button))
	b.until("the dialog closes", "!document.querySelector('dialog[open]')")
}

// look makes the page's window so large, and its colours light or dark.
func (b *browser) look(width, height int, colours string) {
	b.t.Helper()
	b.run(chromedp.EmulateViewport(int64(width), int64(height)), chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: colours}},
		})
		return err
	}))
}

// picture saves what is seen as a PNG.
func (b *browser) picture(name string) {
	b.t.Helper()
	ctx, cancel := b.limited()
	defer cancel()
	png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err != nil {
		b.t.Fatalf("the browser: %v", err)
	}
	if err := os.WriteFile(name, png, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// memory returns how many bytes the process of the page has for itself.
func (b *browser) memory() (most int64) {
	b.t.Helper()
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range files {
		line, _ := os.ReadFile(f)
		if !strings.Contains(string(line), "--type=renderer") || !strings.Contains(string(line), b.dir) {
			continue
		}
		rollup, _ := os.ReadFile(filepath.Join(filepath.Dir(f), "smaps_rollup"))
		var private int64
		for l := range strings.Lines(string(rollup)) {
			var kib int64
			if strings.HasPrefix(l, "Private_") {
				_, _ = fmt.Sscan(strings.Fields(l)[1], &kib)
				private += kib << 10
			}
		}
		most = max(most, private)
	}
	if most == 0 {
		b.t.Fatal("the process of the page was not found")
	}
	return most
}

// js returns a text as JavaScript has it.
func js(text string) string {
	b, _ := json.Marshal(text) // a string can be encoded
	return string(b)
}

// reach lets programs outside the lab connect to an address of the host.
func (h *host) reach(addr string) string {
	h.t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		h.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	h.t.Cleanup(func() { cancel(); ln.Close(); all.Wait() })
	all.Go(func() {
		for {
			in, err := ln.Accept()
			if err != nil {
				return
			}
			all.Go(func() { h.pass(ctx, in, addr) })
		}
	})
	return ln.Addr().String()
}

// pass carries bytes both ways until one side or ctx ends.
func (h *host) pass(ctx context.Context, in net.Conn, addr string) {
	defer in.Close()
	out, err := h.dial(ctx, "tcp", addr)
	if err != nil {
		return
	}
	defer out.Close()
	defer context.AfterFunc(ctx, func() { in.Close(); out.Close() })()
	var both sync.WaitGroup
	both.Go(func() { _, _ = io.Copy(out, in); out.Close() })
	both.Go(func() { _, _ = io.Copy(in, out); in.Close() })
	both.Wait()
}
