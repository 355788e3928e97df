package cli

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"lattice/app"
)

func newSchedule(st *streams) *cobra.Command {
	var f taskFlags
	var login loginFlags
	var zone string
	var keep int
	var remove bool
	concurrency := string(app.Allow)
	cmd := &cobra.Command{
		Use:     `schedule NAME "CRON" IMAGE [-- COMMAND ARGS…]`,
		GroupID: groupTasks,
		Short:   "Run an image as a task at certain times",
		Long: `Run an image as a task at certain times. The tasks are named NAME-1, NAME-2 and so
on. CRON is "MINUTE HOUR DAY MONTH WEEKDAY" as for cron, with SECOND before it if
you like, or @hourly, @daily, @weekly, @monthly, @yearly or @every DURATION.

Where times passed while the brain was down, one task is made for all of them when
it is back. A task that is still running when the next one is due is no reason to
wait, unless --concurrency says so.`,
		Example: st.name + ` schedule backup "30 3 * * *" team/backup --time-zone Europe/Berlin --timeout 1h -- backup --all` + "\n" +
			st.name + ` schedule tick "@every 10m" lattice/hello --concurrency forbid -- /bin/hello task` + "\n" +
			st.name + ` schedule backup --remove`,
		DisableFlagsInUseLine: true,
		Args: func(cmd *cobra.Command, got []string) error {
			if remove {
				return args(1, 1, "NAME")(cmd, got)
			}
			return imageArgs(3, "NAME, CRON in quotes, and IMAGE")(cmd, got)
		},
	}
	f.register(cmd)
	login.register(cmd)
	fl := cmd.Flags()
	fl.StringVar(&zone, "time-zone", "", "`ZONE` of the times, such as Europe/Berlin [UTC]")
	fl.StringVar(&concurrency, "concurrency", concurrency, "`POLICY` while the last task still runs: allow, forbid (skip this time), or replace (cancel it)")
	fl.IntVar(&keep, "keep", app.DefaultScheduleKeep, "keep `N` tasks that have ended, at most")
	fl.BoolVar(&remove, "remove", false, "forget the schedule; the tasks it made stay")
	out := formatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if remove {
			return unschedule(cmd, st, args)
		}
		if err := login.check(cmd); err != nil {
			return err
		}
		t, err := f.build(args[2], args[3:])
		if err != nil {
			return err
		}
		b, err := client()
		if err != nil {
			return err
		}
		ctx, err := login.with(cmd.Context(), st)
		if err != nil {
			return err
		}
		sch, err := b.CreateSchedule(ctx, app.Schedule{
			Name: args[0], Cron: args[1], Zone: zone, Concurrency: app.Concurrency(concurrency), Keep: keep, Task: t,
		})
		if err != nil {
			return scheduleFailure(st, "schedule "+args[0], err)
		}
		if *out != asTable {
			return out.encode(st.out, sch)
		}
		fmt.Fprintf(st.out, "%s is scheduled: first at %s.\n", sch.Name, timeIn(sch.NextAt, sch.Zone))
		return nil
	}
	return cmd
}

func newUnschedule(st *streams) *cobra.Command {
	return &cobra.Command{
		Use:     "unschedule NAME…",
		GroupID: groupTasks,
		Short:   "Forget schedules",
		Long:    "Forget schedules. The tasks they made stay, also those that run.",
		Example: st.name + " unschedule backup",
		Args:    args(1, -1, "the NAME of at least one schedule"),
		RunE:    func(cmd *cobra.Command, names []string) error { return unschedule(cmd, st, names) },
	}
}

func unschedule(cmd *cobra.Command, st *streams, names []string) error {
	b, err := client()
	if err != nil {
		return err
	}
	var failed []error
	for _, name := range names {
		if err := b.RemoveSchedule(cmd.Context(), name); err != nil {
			failed = append(failed, scheduleFailure(st, "unschedule "+name, err))
			continue
		}
		fmt.Fprintf(st.out, "%s is no longer scheduled.\n", name)
	}
	if len(failed) <= 1 {
		return errors.Join(failed...)
	}
	for _, err := range failed {
		st.report(err)
	}
	return fail(exitCode(failed[0]), fmt.Errorf("%d of %d schedules were not forgotten", len(failed), len(names)))
}

func newSchedules(st *streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "schedules [NAME]",
		GroupID: groupTasks,
		Short:   "List the schedules, or show what one has done",
		Example: st.name + " schedules\n" + st.name + " schedules backup",
		Args:    args(0, 1, "one NAME"),
	}
	out := formatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		b, err := client()
		if err != nil {
			return err
		}
		if len(args) == 1 {
			sch, err := b.Schedule(cmd.Context(), args[0])
			switch {
			case err != nil:
				return scheduleFailure(st, "schedule "+args[0], err)
			case *out != asTable:
				return out.encode(st.out, sch)
			}
			writeSchedule(st.out, sch)
			return nil
		}
		all, err := b.Schedules(cmd.Context())
		switch {
		case err != nil:
			return fmt.Errorf("list the schedules: %w", err)
		case *out != asTable:
			return out.encode(st.out, all)
		case len(all) == 0:
			st.note(`No schedules. Make one: %s schedule tick "@every 10m" lattice/hello -- /bin/hello task`, st.name)
		default:
			scheduleTable(all).write(st.out)
		}
		return nil
	}
	return cmd
}

func scheduleTable(all []app.Schedule) *table {
	var tb table
	tb.head("Schedule", "Cron", "Zone", "Image", "Last", "Next", "Tasks")
	for _, s := range all {
		zone := s.Zone
		if zone == "" {
			zone = "UTC"
		}
		tb.row(field{s.Name, bold}, s.Cron, zone, s.Task.Spec.Image, timeIn(s.LastAt, s.Zone), timeIn(s.NextAt, s.Zone), s.Runs)
	}
	return &tb
}

func writeSchedule(w *screen, s app.Schedule) {
	fmt.Fprintln(w, w.paint(bold, s.Name))
	var tb table
	line := func(name string, value any) { tb.row("", name, value) }
	line("Cron", s.Cron)
	line("Next", timeIn(s.NextAt, s.Zone))
	line("Image", s.Task.Spec.Image)
	if len(s.Task.Spec.Command) > 0 {
		line("Command", commandText(s.Task.Spec.Command))
	}
	line("Concurrency", s.Concurrency)
	line("Keeps", fmt.Sprintf("%d tasks that have ended", s.Keep))
	tb.write(w)
	if len(s.History) == 0 {
		return
	}
	io.WriteString(w, "\n")
	var h table
	h.head("Time", "Task", "State", "Remarks")
	for i := len(s.History) - 1; i >= 0; i-- {
		r := s.History[i]
		h.row(timeIn(r.At, s.Zone), dash(r.Task), runState(r), dash(runRemarks(r)))
	}
	h.write(w)
}

func runState(r app.ScheduleRun) field {
	switch {
	case r.Task == "":
		return field{"SKIPPED", yellow}
	case r.Failed:
		return field{"FAILED", red}
	case r.State == app.Completed:
		return field{string(r.State), green}
	case r.State == "":
		return field{"GONE", gray}
	}
	return field{string(r.State), yellow}
}

func runRemarks(r app.ScheduleRun) string {
	var all []string
	if r.Note != "" {
		all = append(all, r.Note)
	}
	if r.Missed > 0 {
		all = append(all, fmt.Sprintf("%d times before were missed", r.Missed))
	}
	if r.Reason != "" {
		all = append(all, r.Reason)
	}
	return strings.Join(all, "; ")
}

// timeIn returns t in a time zone; "-" if it is zero.
func timeIn(t time.Time, zone string) string {
	if t.IsZero() {
		return "-"
	}
	if loc, err := time.LoadLocation(zone); err == nil {
		t = t.In(loc)
	}
	return t.Format(time.DateTime + " MST")
}

func scheduleFailure(st *streams, what string, err error) error {
	f := &failure{code: exitCode(err), err: fmt.Errorf("%s: %w", what, err)}
	switch {
	case errors.Is(err, app.ErrNotFound):
		f.hint = "'" + st.name + " schedules' lists the schedules"
	case errors.Is(err, app.ErrExists):
		f.hint = "forget it first with '" + st.name + " unschedule', or choose another name"
	}
	return f
}
