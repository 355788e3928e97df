package scheduler

import (
	"cmp"
	"slices"
	"strings"
)

// tasks books the room of the tasks that have a cell and returns those that
// wait for one, larger before smaller. Room is booked by cells that are there,
// whatever their state.
func (p *planner) tasks() []*Task {
	var waiting []*Task
	for i := range p.Tasks {
		switch t := &p.Tasks[i]; {
		case t.Cell == "":
			waiting = append(waiting, t)
		case p.fleet.byID[t.Cell] != nil:
			p.fleet.takeTask(p.fleet.byID[t.Cell], t.Spec)
		}
	}
	slices.SortFunc(waiting, func(a, b *Task) int {
		return cmp.Or(cmp.Compare(b.Spec.MemoryMB, a.Spec.MemoryMB), strings.Compare(a.Name, b.Name))
	})
	return waiting
}

// placeTasks finds cells for tasks, in this order.
func (p *planner) placeTasks(tasks []*Task) {
	for _, t := range tasks {
		c := p.fleet.bestForTask(t.Spec)
		if c == nil {
			p.d.Refused = append(p.d.Refused, Refusal{Task: t.Name, Reason: p.fleet.explain(t.Spec)})
			continue
		}
		p.fleet.takeTask(c, t.Spec)
		p.d.Tasks = append(p.d.Tasks, TaskPlacement{Name: t.Name, Cell: c.ID})
	}
}
