// Package web is the dashboard: files that the brain serves from the binary, and
// the headers that keep a browser from running anything else. The pages talk to
// the API of the same origin and hold no secret. It is safe for concurrent use.
package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"strings"
)

//go:embed static
var files embed.FS

// policy lets pages load only what is served here. Style attributes are set by
// scripts through the DOM, which it doesn't forbid.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// A file is what is served, made once.
type file struct {
	kind, tag   string
	body, small []byte // small is gzipped; nil: not worth it
}

// Handler serves the dashboard. What is no file is the page itself, whose script
// knows what to show for an address.
func Handler() http.Handler {
	all := map[string]file{}
	err := fs.WalkDir(files, "static", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := files.ReadFile(name)
		all[strings.TrimPrefix(name, "static")] = prepare(name, body)
		return err
	})
	if err != nil {
		panic(err) // the files are in the binary
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { serve(w, r, all) })
}

func prepare(name string, body []byte) file {
	sum := sha256.Sum256(body)
	f := file{kind: kindOf(name), tag: `"` + hex.EncodeToString(sum[:12]) + `"`, body: body}
	var small bytes.Buffer
	z, _ := gzip.NewWriterLevel(&small, gzip.BestCompression) // the level is a good one
	z.Write(body)                                             // into memory
	z.Close()
	if small.Len() < len(body)*9/10 {
		f.small = small.Bytes()
	}
	return f
}

// kindOf doesn't ask the system, whose table may be anything.
func kindOf(name string) string {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8"
	case ".js", ".mjs":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	case ".webmanifest":
		return "application/manifest+json"
	}
	return "text/plain; charset=utf-8"
}

func serve(w http.ResponseWriter, r *http.Request, all map[string]file) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "the dashboard is only looked at; the API is below /api/v1", http.StatusMethodNotAllowed)
		return
	}
	f, ok := all[r.URL.Path]
	if !ok && path.Ext(r.URL.Path) != "" && strings.HasPrefix(r.URL.Path, "/assets/") {
		http.NotFound(w, r)
		return
	}
	if !ok {
		f = all["/index.html"]
	}
	h.Set("Cache-Control", "no-cache") // asks each time, and is answered by the tag
	h.Set("Vary", "Accept-Encoding")
	h.Set("ETag", f.tag)
	if r.Header.Get("If-None-Match") == f.tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", f.kind)
	body := f.body
	if f.small != nil && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		body = f.small
	}
	if r.Method == http.MethodGet {
		_, _ = w.Write(body) // who asked may have gone away
	}
}
