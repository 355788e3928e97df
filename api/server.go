package api

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"lattice/app"
)

// ServerConfig is what NewServer needs. Everything is needed unless it says
// otherwise.
type ServerConfig struct {
	Apps  Apps
	Cells Cells
	Logs  Logs
	Trust Trust
	Auth  Auth
	Users Users // nil: there is nobody but who has the admin token
	Info  Info
	Log   *slog.Logger

	Tasks Tasks
	Store Store

	Execs   Execs
	SSHKeys SSHKeys

	Programs Programs // nil: none

	Events Events // the journal
	Router Router

	Routers Routers
	Doctor  Doctor

	Images Images
	Builds Builds

	Volumes Volumes

	// Registry serves what is under /v2/, and looks at who asks by itself; nil:
	// there is none.
	Registry http.Handler

	// Done ends the streams, which otherwise last as long as their clients.
	// http.Server.Shutdown waits for them, so give it what ends Done by
	// RegisterOnShutdown.
	Done context.Context

	// History is what was measured; nil: nothing.
	History History

	// Web serves what is not under /api, without a token; nil: 404.
	Web http.Handler

	// Heartbeat is the longest silence of a stream; 0: 15 s.
	Heartbeat time.Duration
}

// NewServer returns the handler of the API. The http.Server around it must
// have a ReadHeaderTimeout and neither ReadTimeout nor WriteTimeout, since the
// handler bounds bodies and streams by itself.
func NewServer(cfg ServerConfig) http.Handler {
	if cfg.Heartbeat == 0 {
		cfg.Heartbeat = 15 * time.Second
	}
	if cfg.Web == nil {
		cfg.Web = http.NotFoundHandler()
	}
	s := &server{cfg: cfg, allowed: map[string]Role{}, sessions: newSessions(), failures: failures{now: time.Now, all: map[string]tries{}}}
	s.feed.cfg = &s.cfg
	s.engine = s.build()
	return s
}

type server struct {
	cfg     ServerConfig
	engine  *gin.Engine
	allowed map[string]Role // "METHOD path" → who may; whatever is not in it is refused

	sessions *sessions
	callers  callers
	failures failures
	feed     feed
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/api" || strings.HasPrefix(r.URL.Path, "/api/") {
		s.engine.ServeHTTP(w, r)
		return
	}
	if s.cfg.Registry != nil && (r.URL.Path == "/v2" || strings.HasPrefix(r.URL.Path, "/v2/")) {
		s.cfg.Registry.ServeHTTP(w, r)
		return
	}
	s.cfg.Web.ServeHTTP(w, r)
}

func (s *server) build() *gin.Engine {
	gin.SetMode(gin.ReleaseMode) // else it prints to stdout; a global, so set only here
	e := gin.New()
	e.RedirectTrailingSlash = false
	e.HandleMethodNotAllowed = true
	e.Use(s.watchOver, s.authorise, s.audit)
	e.NoRoute(func(c *gin.Context) {
		s.fail(c, sayf(app.ErrNotFound, "there is no path %.200q in this API", c.Request.URL.Path))
	})
	e.NoMethod(func(c *gin.Context) {
		s.fail(c, sayf(errMethod, "%s can't be done with %.200q, only %s", c.Request.Method, c.Request.URL.Path, c.Writer.Header().Get("Allow")))
	})
	for _, r := range s.routes() {
		s.allowed[r.method+" "+r.path] = r.role
		e.Handle(r.method, r.path, r.handle)
	}
	return e
}

// watchOver logs each request and turns a panic of its handler into an answer.
func (s *server) watchOver(c *gin.Context) {
	began := time.Now()
	c.Header("Cache-Control", "no-store")
	defer func() {
		if v := recover(); v != nil {
			s.rescue(c, v)
		}
		s.cfg.Log.Debug("request", "method", c.Request.Method, "path", c.Request.URL.Path,
			"status", c.Writer.Status(), "addr", c.Request.RemoteAddr, "took", time.Since(began))
	}()
	c.Next()
}

// rescue answers for a handler that panicked with v.
func (s *server) rescue(c *gin.Context, v any) {
	if v == http.ErrAbortHandler {
		panic(v)
	}
	id := requestID()
	s.cfg.Log.Error("request panicked", "request", id, "method", c.Request.Method, "path", c.Request.URL.Path,
		"err", fmt.Sprint(v), "stack", string(debug.Stack()))
	if c.Writer.Written() {
		panic(http.ErrAbortHandler) // cuts the connection, so that nobody takes the answer for whole
	}
	s.answer(c, http.StatusInternalServerError, wire(sayf(errInternal, "the brain has a bug and could not do this: its log tells more, look for request %s", id)))
	c.Abort()
}

// fail answers with err. What is not the caller's fault is logged, too.
func (s *server) fail(c *gin.Context, err error) {
	c.Abort()
	if c.Request.Context().Err() != nil {
		c.Status(499) // as nginx logs a client that went away; err is most likely that
		return
	}
	k := kindOf(err)
	switch k.status {
	case http.StatusUnauthorized:
		c.Header("WWW-Authenticate", "Bearer")
	case http.StatusServiceUnavailable:
		c.Header("Retry-After", "1")
	case http.StatusTooManyRequests:
		c.Header("Retry-After", "10")
	case http.StatusInternalServerError:
		id := requestID()
		s.cfg.Log.Error("request failed", "request", id, "method", c.Request.Method, "path", c.Request.URL.Path, "err", err)
		err = fmt.Errorf("%w (request %s in the brain's log)", err, id)
	}
	s.answer(c, k.status, wire(err))
}

// requestID returns what ties an answer to a line of the log.
func requestID() string { return fmt.Sprintf("%08x", rand.Uint32()) }
