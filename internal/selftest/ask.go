package selftest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// maxAnswer is how much of an answer is read, in bytes.
const maxAnswer = 64 << 10

// ask sends a request for a path of the app through the router.
func (t *trial) ask(ctx context.Context, host, path string) (code int, body string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+host+"."+t.Domain+path, nil)
	if err != nil {
		return 0, "", err
	}
	resp, err := t.http.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return resp.StatusCode, strings.TrimSpace(string(b)), err
}

// get is ask, and a status other than 200 is an error.
func (t *trial) get(ctx context.Context, path string) (string, error) {
	code, body, err := t.ask(ctx, t.name, path)
	if err == nil && code != http.StatusOK {
		err = fmt.Errorf("GET %s answered %d: %s", path, code, body)
	}
	return body, err
}

// A load asks without end and counts.
type load struct {
	stop func() // and waits

	mu            sync.Mutex
	asked, failed int
	first         error
}

// startLoad asks the app over and over, a few requests at a time.
func (t *trial) startLoad(ctx context.Context) *load {
	ctx, cancel := context.WithCancel(ctx)
	l := &load{}
	var askers sync.WaitGroup
	for range 4 {
		askers.Go(func() {
			for ctx.Err() == nil {
				_, err := t.get(ctx, "/index")
				if ctx.Err() == nil {
					l.count(err)
				}
				time.Sleep(5 * time.Millisecond) // a load, not a benchmark
			}
		})
	}
	l.stop = func() { cancel(); askers.Wait() }
	return l
}

func (l *load) count(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked++
	if err != nil {
		l.failed++
		if l.first == nil {
			l.first = err
		}
	}
}

// err is that of a load that has stopped.
func (l *load) err() error {
	switch {
	case l.failed > 0:
		return fmt.Errorf("%d of %d requests failed, the first: %w", l.failed, l.asked, l.first)
	case l.asked == 0:
		return fmt.Errorf("no request was answered")
	}
	return nil
}
