package scheduler

import (
	"cmp"
	"slices"
	"strings"
)

// bookTasks books the room of the tasks that have a cell and returns those that
// wait for one, larger before smaller. Room is booked on cells that are there,
// whatever their state.
func (p *Planner) bookTasks(tasks []Task) []*Task {
	var waiting []*Task
	for i := range tasks {
		switch t := &tasks[i]; {
		case t.Cell == "":
			waiting = append(waiting, t)
		case p.fleet.byID[t.Cell] != nil:
			p.fleet.try(booking{h: p.fleet.byID[t.Cell], need: needs(t.Spec), starts: t.Starting, task: true})
		}
	}
	slices.SortFunc(waiting, func(a, b *Task) int {
		return cmp.Or(cmp.Compare(b.Spec.MemoryMB, a.Spec.MemoryMB), strings.Compare(a.Name, b.Name))
	})
	return waiting
}

// placeTasks finds cells for tasks, in this order.
func (p *Planner) placeTasks(tasks []*Task) {
	for _, t := range tasks {
		p.fleet.enter(t.Spec, true)
		for _, other := range t.Spec.Rules.Avoid {
			p.fleet.shun(p.groups[other])
		}
		p.placeTask(t)
		p.fleet.leave()
	}
}

func (p *Planner) placeTask(t *Task) {
	h, r := p.choose(wish{spec: t.Spec})
	if h == nil {
		p.d.Refused = append(p.d.Refused, Refusal{Task: t.Name, Waits: r.waits, Reason: r.reason})
		return
	}
	p.fleet.try(booking{h: h, need: needs(t.Spec), starts: true, task: true})
	p.fleet.take(h)
	p.d.Tasks = append(p.d.Tasks, TaskPlacement{Name: t.Name, Cell: h.ID})
}
