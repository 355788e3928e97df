// App is what the tests run in containers.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	args := os.Args[1:]
	switch args[0] {
	case "exit":
		code, _ := strconv.Atoi(args[1])
		os.Exit(code)
	case "run": // until SIGTERM, then exits with 7
		c := make(chan os.Signal, 1)
		signal.Notify(c, syscall.SIGTERM, syscall.SIGUSR1)
		fmt.Println("running")
		fmt.Fprintln(os.Stderr, "to stderr")
		if <-c == syscall.SIGUSR1 {
			os.Exit(8)
		}
		os.Exit(7)
	case "stubborn": // ignores SIGTERM
		signal.Ignore(syscall.SIGTERM)
		fmt.Println("running")
		time.Sleep(time.Hour)
	case "count": // prints a number every 10 ms
		for i := 0; ; i++ {
			fmt.Println(i)
			time.Sleep(10 * time.Millisecond)
		}
	case "flood":
		n, _ := strconv.Atoi(args[1])
		for i := range n {
			fmt.Println(i)
		}
	case "hog":
		var all [][]byte
		for {
			b := make([]byte, 1<<20)
			for i := range b {
				b[i] = 1
			}
			all = append(all, b)
			_ = all
		}
	case "serve":
		fmt.Println(http.ListenAndServe(":"+args[1], http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintln(w, "hello")
		})))
	case "describe":
		describe(args[1:])
	case "cat":
		for _, f := range args[1:] {
			b, err := os.ReadFile(f)
			fmt.Print(string(b))
			if err != nil {
				fmt.Println(err)
				os.Exit(1)
			}
		}
	case "write":
		if err := os.WriteFile(args[1], []byte(args[2]), 0o644); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	case "results": // leaves files of all kinds and exits with 5
		results()
		os.Exit(5)
	case "pipe": // copies its input to its output
		n, err := io.Copy(os.Stdout, os.Stdin)
		fmt.Fprintln(os.Stderr, n, err)
	case "sleep":
		time.Sleep(time.Hour)
	case "listen":
		fmt.Println(http.ListenAndServe(":80", nil))
	}
}

func results() {
	must := func(err error) {
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	must(os.MkdirAll("/out/dir", 0o700))
	must(os.WriteFile("/out/plain", []byte("plain"), 0o600))
	must(os.WriteFile("/data/volume", []byte("volume"), 0o600))
	must(syscall.Mkfifo("/out/pipe", 0o600))
	for name, target := range map[string]string{
		"relative": "plain", "absolute": "/out/plain", "outside": "../../../../../../../../etc/passwd",
		"covered": "/data/volume", "loop": "loop", "nowhere": "/nowhere", "disk": "/dev/sda",
	} {
		must(os.Symlink(target, "/out/"+name))
	}
}

// describe prints what the process sees of itself and of the files named, and
// goes on until it is killed.
func describe(files []string) {
	dir, _ := os.Getwd()
	host, _ := os.Hostname()
	groups, _ := os.Getgroups()
	status, _ := os.ReadFile("/proc/self/status")
	limits, _ := os.ReadFile("/proc/self/limits")
	uidMap, _ := os.ReadFile("/proc/self/uid_map")
	hosts, _ := os.ReadFile("/etc/hosts")
	d := map[string]any{
		"uid": os.Getuid(), "gid": os.Getgid(), "groups": groups, "dir": dir, "env": os.Environ(), "hostname": host,
		"status": string(status), "limits": string(limits), "uid_map": strings.TrimSpace(string(uidMap)), "hosts": string(hosts),
	}
	owners := map[string]string{}
	for _, f := range files {
		_ = filepath.Walk(f, func(path string, st os.FileInfo, err error) error {
			if err != nil {
				owners[path] = err.Error()
				return nil
			}
			s := st.Sys().(*syscall.Stat_t)
			owners[path] = fmt.Sprintf("%d:%d %v", s.Uid, s.Gid, st.Mode())
			return nil
		})
	}
	d["owners"] = owners
	// As images do that link their log files to it.
	out, err := os.OpenFile("/dev/stdout", os.O_WRONLY, 0)
	if err != nil {
		d["stdout"] = err.Error()
		out = os.Stdout
	}
	b, _ := json.Marshal(d)
	_, _ = io.WriteString(out, string(b)+"\n")
	time.Sleep(time.Hour)
}
