package api

import (
	"net/http"
	"reflect"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"lattice/app"
)

// A route is a row of the table of paths.
type route struct {
	method, path string
	role         Role // who may; a user's token does not open a cell's path, nor the other way round; of RoleCell only the one that :id names
	handle       gin.HandlerFunc
}

// routes is the table of all paths, as the package comment has it.
func (s *server) routes() []route {
	const v1 = "/api/v1"
	return []route{
		{http.MethodGet, v1 + "/ping", roleAnyone, s.ping},
		{http.MethodGet, v1 + "/info", roleReader, s.info},
		{http.MethodPost, v1 + "/apps", RoleUser, s.createApp},
		{http.MethodGet, v1 + "/apps", roleReader, s.listApps},
		{http.MethodGet, v1 + "/apps/:name", roleReader, s.showApp},
		{http.MethodPut, v1 + "/apps/:name", RoleUser, s.updateApp},
		{http.MethodPut, v1 + "/apps/:name/instances", RoleUser, s.scaleApp},
		{http.MethodGet, v1 + "/apps/:name/revisions", roleReader, s.listRevisions},
		{http.MethodPost, v1 + "/apps/:name/rollback", RoleUser, s.rollbackApp},
		{http.MethodPost, v1 + "/apps/:name/restart", RoleUser, s.restartApp},
		{http.MethodPost, v1 + "/apps/:name/stop", RoleUser, s.stopApp},
		{http.MethodPost, v1 + "/apps/:name/start", RoleUser, s.startApp},
		{http.MethodPost, v1 + "/apps/:name/promote", RoleUser, s.promoteApp},
		{http.MethodDelete, v1 + "/apps/:name", RoleUser, s.removeApp},
		{http.MethodGet, v1 + "/apps/:name/logs", roleReader, s.showLogs},
		{http.MethodGet, v1 + "/apps/:name/exec", RoleUser, s.execApp},
		{http.MethodGet, v1 + "/routes", roleReader, s.listRoutes},
		{http.MethodGet, v1 + "/events", roleReader, s.showEvents},
		{http.MethodGet, v1 + "/doctor", roleReader, s.diagnose},
		{http.MethodGet, v1 + "/support", RoleUser, s.support},
		{http.MethodPost, v1 + "/tasks", RoleUser, s.createTask},
		{http.MethodGet, v1 + "/tasks", roleReader, s.listTasks},
		{http.MethodGet, v1 + "/tasks/:name", roleReader, s.showTask},
		{http.MethodPost, v1 + "/tasks/:name/cancel", RoleUser, s.cancelTask},
		{http.MethodDelete, v1 + "/tasks/:name", RoleUser, s.deleteTask},
		{http.MethodGet, v1 + "/tasks/:name/exec", RoleUser, s.execTask},
		{http.MethodPost, v1 + "/builds", RoleUser, s.createBuild},
		{http.MethodGet, v1 + "/builds", roleReader, s.listBuilds},
		{http.MethodPut, v1 + "/builds/:name/source", RoleUser, s.sendSource},
		{http.MethodPost, v1 + "/schedules", RoleUser, s.createSchedule},
		{http.MethodGet, v1 + "/schedules", roleReader, s.listSchedules},
		{http.MethodGet, v1 + "/schedules/:name", roleReader, s.showSchedule},
		{http.MethodDelete, v1 + "/schedules/:name", RoleUser, s.removeSchedule},
		{http.MethodGet, v1 + "/debug-logs", RoleUser, s.showDebugLogs},
		{http.MethodGet, v1 + "/clients/:os/:arch", roleReader, s.showProgram},
		{http.MethodGet, v1 + "/cells", roleReader, s.listCells},
		{http.MethodPut, v1 + "/cells/:id/drain", roleBoth, s.drain},
		{http.MethodDelete, v1 + "/cells/:id/drain", roleBoth, s.undrain},
		{http.MethodGet, v1 + "/rebalance", roleReader, s.showBalance},
		{http.MethodPost, v1 + "/rebalance", RoleUser, s.rebalance},
		{http.MethodDelete, v1 + "/rebalance", RoleUser, s.stopRebalance},
		{http.MethodGet, v1 + "/strays", roleReader, s.listStrays},
		{http.MethodPost, v1 + "/strays/adopt", RoleUser, s.adoptStrays},
		{http.MethodPost, v1 + "/strays/discard", RoleUser, s.discardStrays},

		{http.MethodPost, v1 + "/session", roleAnyone, s.login},
		{http.MethodGet, v1 + "/session", roleReader, s.showSession},
		{http.MethodDelete, v1 + "/session", roleReader, s.logout},
		{http.MethodPost, v1 + "/session/link", roleReader, s.createLink},
		{http.MethodGet, v1 + "/live", roleReader, s.live},
		{http.MethodGet, v1 + "/history", roleReader, s.showHistory},

		{http.MethodGet, v1 + "/users", RoleUser, s.listUsers},
		{http.MethodPost, v1 + "/users", RoleUser, s.addUser},
		{http.MethodPut, v1 + "/users/:name", RoleUser, s.changeUser},
		{http.MethodDelete, v1 + "/users/:name", RoleUser, s.removeUser},

		{http.MethodGet, v1 + "/ssh-keys", RoleUser, s.listSSHKeys},
		{http.MethodPost, v1 + "/ssh-keys", RoleUser, s.addSSHKey},
		{http.MethodDelete, v1 + "/ssh-keys/:name", RoleUser, s.removeSSHKey},

		{http.MethodGet, v1 + "/registries", roleReader, s.listRegistries},
		{http.MethodPut, v1 + "/registries/:host", RoleUser, s.putRegistry},
		{http.MethodDelete, v1 + "/registries/:host", RoleUser, s.removeRegistry},
		{http.MethodGet, v1 + "/volumes", roleReader, s.listVolumes},
		{http.MethodDelete, v1 + "/volumes/:id", RoleUser, s.removeVolume},
		{http.MethodGet, v1 + "/images", roleReader, s.listImages},
		{http.MethodGet, v1 + "/images/allowed", roleReader, s.listAllowed},
		{http.MethodPut, v1 + "/images/allowed", RoleUser, s.setAllowed},
		{http.MethodPost, v1 + "/images/prune", RoleUser, s.pruneImages},

		{http.MethodGet, v1 + "/features", roleReader, s.listFeatures},
		{http.MethodPut, v1 + "/features/:name", RoleUser, s.setFeature},

		{http.MethodGet, v1 + "/tokens", RoleUser, s.listTokens},
		{http.MethodPost, v1 + "/tokens", RoleUser, s.createToken},
		{http.MethodDelete, v1 + "/tokens/:id", RoleUser, s.revokeToken},
		{http.MethodPost, v1 + "/cells/:id/revoke", RoleUser, s.revokeCell},
		{http.MethodPost, v1 + "/gossip/rotate", RoleUser, s.rotateGossip},
		{http.MethodGet, v1 + "/store", RoleUser, s.snapshot},

		{http.MethodPost, v1 + "/join", RoleJoin, s.join},
		{http.MethodPost, v1 + "/cells/:id/certificate", RoleCell, s.renew},
		{http.MethodGet, v1 + "/cells/:id/membership", RoleCell, s.membership},
		{http.MethodPost, v1 + "/cells/:id/ring", RoleCell, s.confirm},
		{http.MethodGet, v1 + "/cells/:id/routing", RoleCell, s.routing},
		{http.MethodPost, v1 + "/cells/:id/router", RoleCell, s.reportRouter},
		{http.MethodPost, v1 + "/cells/:id/apps-certificate", RoleCell, s.appsCertificate},
		{http.MethodGet, v1 + "/cells/:id/work", RoleCell, s.work},
		{http.MethodPost, v1 + "/cells/:id/report", RoleCell, s.report},
		{http.MethodGet, v1 + "/cells/:id/sessions", RoleCell, s.wantedSessions},
		{http.MethodGet, v1 + "/cells/:id/sessions/:session", RoleCell, s.attend},
		{http.MethodPost, v1 + "/cells/:id/logs", RoleCell, s.takeLogs},
		{http.MethodPost, v1 + "/cells/:id/log-cursors", RoleCell, s.logCursors},
	}
}

func (s *server) ping(c *gin.Context) { s.answer(c, http.StatusOK, struct{}{}) }

func (s *server) info(c *gin.Context) { s.answer(c, http.StatusOK, s.cfg.Info) }

// done answers with v, or with err if there is one.
func (s *server) done(c *gin.Context, status int, v any, err error) {
	if err != nil {
		s.fail(c, err)
		return
	}
	s.answer(c, status, v)
}

// view answers with what get returns, or streams it if the caller asked for
// watch=true.
func view[T any](s *server, c *gin.Context, get func() (T, error)) {
	watching, err := flag(c, "watch")
	if err != nil {
		s.fail(c, err)
		return
	}
	if hides(c) {
		shown := get
		get = func() (T, error) {
			v, err := shown()
			return conceal(v).(T), err
		}
	}
	if watching {
		watch(s, c, source[T]{s.cfg.Apps.Changed, get, equal[T], viewPause})
		return
	}
	v, err := get()
	s.done(c, http.StatusOK, v, err)
}

// viewPause is short for a person who watches, and long for a brain that gets
// the reports of many cells.
const viewPause = 50 * time.Millisecond

func equal[T any](a, b T) bool { return reflect.DeepEqual(a, b) }

// flag returns a parameter of the query that is true or false.
func flag(c *gin.Context, name string) (bool, error) {
	text, ok := c.GetQuery(name)
	if !ok {
		return false, nil
	}
	v, err := strconv.ParseBool(text)
	if err != nil {
		return false, app.Invalid("%s=%.40q in the address must be true or false", name, text)
	}
	return v, nil
}
