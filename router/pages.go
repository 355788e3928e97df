package router

import (
	"errors"
	"fmt"
	"html"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// maxPage bounds an error page, in bytes.
const maxPage = 256 << 10

// Pages are what browsers get instead of the router's own errors in plain text.
// They never change.
type Pages struct {
	byCode  map[int]string
	byClass [6]string
	all     string
}

// ReadPages reads 503.html and the like, 5xx.html and 4xx.html, and error.html
// for all others from a folder. In them {status}, {reason}, {cause} and
// {request_id} stand for what is to be told.
func ReadPages(folder string) (*Pages, error) {
	p := &Pages{byCode: map[int]string{}}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, fmt.Errorf("error pages: %w", err)
	}
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".html")
		if !ok {
			continue
		}
		to := func(text string) { p.all = text }
		if code, err := strconv.Atoi(name); err == nil && code >= 400 && code <= 599 {
			to = func(text string) { p.byCode[code] = text }
		} else if name == "4xx" || name == "5xx" {
			to = func(text string) { p.byClass[name[0]-'0'] = text }
		} else if name != "error" {
			continue
		}
		text, err := readPage(filepath.Join(folder, e.Name()))
		if err != nil {
			return nil, fmt.Errorf("error pages: %w", err)
		}
		to(text)
	}
	return p, nil
}

func readPage(path string) (string, error) {
	info, err := os.Stat(path)
	if err == nil && info.Size() > maxPage {
		err = &fs.PathError{Op: "read", Path: path, Err: errors.New("it is larger than 256 KiB")}
	}
	if err != nil {
		return "", err
	}
	b, err := os.ReadFile(path)
	return string(b), err
}

// of returns the page for a refusal; "" for none. Only what accepts HTML gets it.
func (p *Pages) of(why *refusal, accept []string, id string) string {
	if p == nil || !strings.Contains(strings.Join(accept, ","), "text/html") {
		return ""
	}
	page := p.byCode[why.code]
	if page == "" && why.code < 600 {
		page = p.byClass[why.code/100]
	}
	if page == "" {
		page = p.all
	}
	status := strconv.Itoa(why.code) + " " + http.StatusText(why.code)
	return strings.NewReplacer("{status}", status, "{reason}", html.EscapeString(why.reason), "{cause}", why.cause,
		"{request_id}", html.EscapeString(id)).Replace(page)
}
