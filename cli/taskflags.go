package cli

import (
	"time"

	"github.com/spf13/cobra"

	"lattice/app"
)

// taskFlags are the flags that describe a task, as they were typed.
type taskFlags struct {
	app     appFlags // those of it that make sense for a task
	name    string
	timeout time.Duration
	retries int
	result  string
	call    string
	ttl     time.Duration
}

// register gives cmd the flags.
func (f *taskFlags) register(cmd *cobra.Command) {
	f.app.memory = app.DefaultMemoryMB
	f.app.instances = 1
	fl := cmd.Flags()
	fl.VarP(&f.app.memory, "memory-mb", "m", "memory limit, in MiB or as 512M or 1G; 0: none")
	fl.VarP(&f.app.disk, "disk-mb", "d", "disk limit, in MiB or as 512M or 1G; 0: none")
	fl.IntVarP(&f.app.cpuWeight, "cpu-weight", "c", app.DefaultCPUWeight, "`SHARE` of the CPU, 1 to 100, against others on the cell")
	fl.StringArrayVarP(&f.app.env, "env", "e", nil, "set a variable: `NAME=VALUE`, or NAME to take it from your environment")
	fl.StringVar(&f.app.envFile, "env-file", "", "set the variables in `FILE`, one NAME=VALUE or NAME a line")
	fl.StringVarP(&f.app.dir, "working-dir", "w", "", "`DIR` to start in [the image's]")
	fl.StringVarP(&f.app.user, "user", "u", "", "`USER` to run as [the image's]")
	f.app.ruleFlags.register(fl)
	f.app.registerVolumes(fl)
	fl.Lookup("one-per-cell").Hidden = true // a task is one
	fl.DurationVar(&f.app.stopGrace, "stop-grace", app.DefaultStopGrace, "`DURATION` between the stop signal and the kill")
	fl.DurationVar(&f.timeout, "timeout", 0, "stop it after `DURATION`, as failed [never]")
	fl.IntVar(&f.retries, "retries", 0, "try again up to `N` times when it fails")
	fl.StringVar(&f.result, "result-file", "", "keep what is in `FILE` of the container at the end, up to 20 KiB, as its result")
	fl.StringVar(&f.call, "callback", "", "POST the task to `URL` when it has ended")
	fl.DurationVar(&f.ttl, "ttl", app.DefaultTaskTTL, "forget it `DURATION` after its end")
}

// build returns the task that the flags describe. What the brain checks is left
// to it.
func (f *taskFlags) build(image string, command []string) (app.Task, error) {
	a, err := f.app.unchecked(f.name, image, command)
	if err != nil {
		return app.Task{}, asSyntax(err)
	}
	return app.Task{Name: f.name, Spec: a, TaskOptions: app.TaskOptions{
		Timeout: app.Duration(f.timeout), Retries: f.retries, ResultFile: f.result, CallbackURL: f.call, TTL: app.Duration(f.ttl),
	}}, nil
}

// imageArgs checks that there are n arguments, which what names, and that the
// rest comes after --.
func imageArgs(n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, got []string) error {
		before := cmd.ArgsLenAtDash()
		if before < 0 {
			before = len(got)
		}
		switch {
		case before < n:
			return usage(cmd, "%s needs %s", cmd.Name(), what)
		case before > n:
			return usage(cmd, "%s takes only %s, got also %q: '--' is required before the start command", cmd.Name(), what, got[n])
		}
		return nil
	}
}
