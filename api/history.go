package api

import (
	"fmt"
	"math"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"lattice/app"
)

// History is what was measured lately. All methods may be called concurrently.
type History interface {
	// Series returns what was measured of an app or a cell; it is false if
	// there is nothing yet.
	Series(of Measured) (Series, bool)

	// Latest returns the newest point of all.
	Latest() Points

	// Trends returns the last n points of each app, without the newest.
	Trends(n int) map[string][]Point
}

// Measured says of what something was measured: one of the two is not empty.
type Measured struct{ App, Cell string }

// A Point is what was measured in one step: percent of a core, bytes of memory,
// requests per second, their median and 95th percentile in milliseconds, and
// failed ones (5xx) per second. Of a cell there are no requests.
type Point [6]float64

// Points are the newest point of every app and cell.
type Points struct {
	At    time.Time        `json:"at"`
	Apps  map[string]Point `json:"apps"`
	Cells map[string]Point `json:"cells"`
}

// A Series is the points of the last hour, oldest first; the last is of At.
type Series struct {
	At     time.Time `json:"at"`
	Step   int       `json:"step"` // seconds between two
	Points []Point   `json:"points"`
}

func (s *server) showHistory(c *gin.Context) {
	of := Measured{App: c.Query("app"), Cell: c.Query("cell")}
	if (of.App == "") == (of.Cell == "") {
		s.fail(c, app.Invalid("say of what: add ?app=NAME or ?cell=ID to the address"))
		return
	}
	out := Series{Points: []Point{}}
	if s.cfg.History != nil {
		if found, ok := s.cfg.History.Series(of); ok {
			out = found
		}
	}
	s.answer(c, http.StatusOK, out)
}

func instanceName(in app.Instance) string { return fmt.Sprintf("%s/%d", in.App, in.Index) }

func round(v float64) float64 { return math.Round(v*100) / 100 }
