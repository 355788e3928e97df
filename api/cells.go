package api

import (
	"io"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"lattice/app"
)

// workPause is between two looks at the work of one cell: little, since an
// instance that waits for its start waits for this.
const workPause = 5 * time.Millisecond

func (s *server) listCells(c *gin.Context) {
	view(s, c, func() ([]CellStatus, error) { return cellStatuses(s.cfg.Cells), nil })
}

// cellStatuses returns the cells with how many instances they have.
func cellStatuses(from Cells) []CellStatus {
	cells, counts := from.Cells(), from.Counts()
	list := make([]CellStatus, len(cells))
	for i, cell := range cells {
		n := counts[cell.ID]
		list[i] = CellStatus{Cell: cell, Running: n.Running, Claimed: n.Claimed}
	}
	return list
}

// CountInstances returns what Cells.Counts does, of all apps.
func CountInstances(apps []app.Status) map[string]app.CellCount {
	counts := map[string]app.CellCount{}
	for _, a := range apps {
		for _, in := range a.Instances {
			n := counts[in.Cell]
			switch {
			case in.Stopping:
			case in.State == app.Running:
				n.Running++
			case in.State == app.Claimed:
				n.Claimed++
			}
			counts[in.Cell] = n
		}
	}
	return counts
}

func (s *server) listStrays(c *gin.Context) {
	s.answer(c, http.StatusOK, some(s.cfg.Cells.Strays()))
}

func (s *server) listRoutes(c *gin.Context) {
	s.answer(c, http.StatusOK, some(s.cfg.Router.RouteStatuses()))
}

func (s *server) work(c *gin.Context) {
	id := c.Param("id")
	watch(s, c, source[app.Work]{
		changed: func() <-chan struct{} { return s.cfg.Cells.WorkChanged(id) },
		get:     func() (app.Work, error) { return s.cfg.Cells.Work(id) },
		same:    sameWork,
		pause:   workPause,
	})
}

// sameWork reports whether there is nothing new for the cell in b. The
// revision alone tells it nothing.
func sameWork(a, b app.Work) bool {
	a.Revision = b.Revision
	return equal(a, b)
}

func (s *server) report(c *gin.Context) {
	var r app.Report
	err := readLenient(c, &r)
	if err == nil && r.Cell != c.Param("id") {
		err = app.Invalid("the report is of the cell %.100q and was sent for %.100q", r.Cell, c.Param("id"))
	}
	for _, in := range r.Instances {
		if err == nil && in.Cell != r.Cell {
			err = app.Invalid("the report of the cell %.100q has an instance of the cell %.100q", r.Cell, in.Cell)
		}
	}
	if err == nil {
		err = s.cfg.Cells.Report(r)
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	c.Status(http.StatusNoContent)
}

func (s *server) takeLogs(c *gin.Context) {
	var lines []app.LogLine
	err := withBody(c, maxCellBody, func(r io.Reader) error {
		return app.ReadLogLines(r, func(l app.LogLine) error {
			lines = append(lines, l)
			return nil
		})
	})
	if err != nil {
		s.fail(c, err)
		return
	}
	s.cfg.Logs.Append(lines)
	c.Status(http.StatusNoContent)
}

func (s *server) logCursors(c *gin.Context) {
	var guids []string
	if err := readLenient(c, &guids); err != nil {
		s.fail(c, err)
		return
	}
	cursors := s.cfg.Logs.Cursors(guids)
	if cursors == nil {
		cursors = map[string]uint64{}
	}
	s.answer(c, http.StatusOK, cursors)
}
