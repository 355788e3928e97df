package api

import (
	"net/http"
	"slices"

	"github.com/gin-gonic/gin"

	"lattice/app"
)

// audit writes down who changed what. What has an event of its own gets the
// actor with the context of its request; all else that a person changed becomes
// an event here, so a path nobody thought of is told, too.
func (s *server) audit(c *gin.Context) {
	actor := actorOf(c)
	if actor == "" || harmless(c.Request.Method) {
		return
	}
	c.Request = c.Request.WithContext(app.WithActor(c.Request.Context(), actor))
	c.Next()
	path := c.FullPath()
	if callerOf(c).Role == "" || c.Writer.Status() >= http.StatusBadRequest || c.Query("dry_run") != "" || tellsItself(path) {
		return
	}
	e := app.Event{Kind: app.AuditNoun + ".request", Actor: actor, Message: c.Request.Method + " " + clean(c.Request.URL.Path)}
	if path == "/api/v1/cells/:id/revoke" {
		e.Kind, e.Cell, e.Message = app.CellRevoked, c.Param("id"), "it is put out of the cluster"
	}
	s.emit(e)
}

// tellsItself reports whether what is done at a path has an event of its own.
func tellsItself(path string) bool {
	return slices.Contains([]string{
		"/api/v1/apps", "/api/v1/apps/:name", "/api/v1/apps/:name/instances", "/api/v1/apps/:name/rollback", "/api/v1/apps/:name/restart",
		"/api/v1/apps/:name/stop", "/api/v1/apps/:name/start", "/api/v1/apps/:name/promote", "/api/v1/cells/:id/drain",
		"/api/v1/rebalance", "/api/v1/tasks", "/api/v1/tasks/:name", "/api/v1/tasks/:name/cancel", "/api/v1/features/:name",
	}, path)
}

// clean bounds what a caller can make of a message.
func clean(path string) string { return path[:min(len(path), 200)] }

// actorOf returns who makes the request: a user's name or, of a cell, which.
func actorOf(c *gin.Context) string {
	if who := callerOf(c); who.Name != "" {
		return who.Name
	}
	if verified(c) != nil {
		return "cell " + c.Param("id")
	}
	return ""
}

func harmless(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}

// emit tells the journal, where there is one.
func (s *server) emit(e app.Event) {
	if s.cfg.Events != nil {
		s.cfg.Events.Emit(e)
	}
}
