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
	found := map[string]string{}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, fmt.Errorf("error pages: %w", err)
	}
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".html")
		if !ok {
			continue
		}
		if found[name], err = readPage(filepath.Join(folder, e.Name())); err != nil {
			return nil, fmt.Errorf("error pages: %w", err)
		}
	}
	return newPages(found), nil
}

// newPages returns pages by "503" and the like, "4xx", "5xx" and "error"; other
// names mean nothing. Of none it returns nil.
func newPages(all map[string]string) *Pages {
	if len(all) == 0 {
		return nil
	}
	p := &Pages{byCode: map[int]string{}, all: all["error"]}
	p.byClass[4], p.byClass[5] = all["4xx"], all["5xx"]
	for name, text := range all {
		if code, err := strconv.Atoi(name); err == nil {
			p.byCode[code] = text
		}
	}
	return p
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

// page returns the page for a refusal: that of the route if there is one, else of
// the router; "" for none. Only what accepts HTML gets it.
func (r *Router) page(route *Route, why *refusal, accept []string, id string) string {
	own := route != nil && route.policy != nil && route.policy.pages != nil
	if !own && r.pages == nil || !strings.Contains(strings.Join(accept, ","), "text/html") {
		return ""
	}
	if own {
		if page := route.policy.pages.of(why, id); page != "" {
			return page
		}
	}
	return r.pages.of(why, id)
}

// of returns the page for a refusal; "" for none.
func (p *Pages) of(why *refusal, id string) string {
	if p == nil {
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
