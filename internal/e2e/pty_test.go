package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A terminal is a pseudo-terminal with a program in it.
type terminal struct {
	t      *testing.T
	master *os.File
	cmd    *exec.Cmd

	mu   sync.Mutex // guards what follows
	seen bytes.Buffer
}

// inTerminal starts the command in a terminal of that size; it is killed when
// the test ends.
func inTerminal(t *testing.T, cmd *exec.Cmd, cols, rows int) *terminal {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	x := &terminal{t: t, master: master, cmd: cmd}
	x.resize(cols, rows)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	slave.Close()
	t.Cleanup(func() {
		cmd.Process.Kill()
		master.Close()
	})
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := master.Read(buf)
			x.mu.Lock()
			x.seen.Write(buf[:n])
			x.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return x
}

func (x *terminal) resize(cols, rows int) {
	x.t.Helper()
	if err := unix.IoctlSetWinsize(int(x.master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: uint16(cols), Row: uint16(rows)}); err != nil {
		x.t.Fatal(err)
	}
}

// say types text.
func (x *terminal) say(text string) {
	x.t.Helper()
	if _, err := x.master.WriteString(text); err != nil {
		x.t.Fatal(err)
	}
}

// expect waits until want is on the screen, and forgets all up to it.
func (x *terminal) expect(want string) {
	x.t.Helper()
	eventually(x.t, 60*time.Second, fmt.Sprintf("%q on the screen", want), func() string {
		x.mu.Lock()
		defer x.mu.Unlock()
		if i := bytes.Index(x.seen.Bytes(), []byte(want)); i >= 0 {
			x.seen.Next(i + len(want))
			return ""
		}
		return fmt.Sprintf("%q", x.seen.String())
	})
}

// hasSize asks the shell in it until it answers with a size, "ROWS COLUMNS".
func (x *terminal) hasSize(want string) {
	x.t.Helper()
	eventually(x.t, 60*time.Second, "the new size arrives", func() string {
		x.say("stty size\n")
		time.Sleep(100 * time.Millisecond)
		x.mu.Lock()
		defer x.mu.Unlock()
		if strings.Contains(x.seen.String(), want) {
			return ""
		}
		return x.seen.String()
	})
}

// end waits for the end of the program and returns its exit code.
func (x *terminal) end() int {
	x.t.Helper()
	done := make(chan struct{})
	go func() {
		x.cmd.Wait()
		close(done)
	}()
	select {
	case <-done:
		return x.cmd.ProcessState.ExitCode()
	case <-time.After(60 * time.Second):
		x.mu.Lock()
		defer x.mu.Unlock()
		x.t.Fatalf("the program does not end; on the screen: %q", x.seen.String())
		return -1
	}
}
