// Package cli is the command line: the commands a user types, what they print,
// and the exit code they end with. One file holds one command. All of them but
// the ones that serve (up, brain, cell, down) only talk to the API and compile
// on every system.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

// The groups of the help text, in its order.
const (
	groupServe  = "RUN LATTICE"
	groupTarget = "TARGET LATTICE"
	groupDocker = "MANAGE DOCKER APPS"
	groupApps   = "MANAGE ALL APPS"
	groupTasks  = "TASKS"
	groupSSH    = "SSH INTO AN APP CONTAINER"
	groupImages = "IMAGES"
	groupDrops  = "DROPLETS, AS LATTICE CALLED BUILT IMAGES"
	groupLogs   = "STREAM LOGS"
	groupSee    = "SEE WHAT'S RUNNING"
	groupHelp   = "HELP AND DEBUG"
)

// groups returns them in the order of the help text.
func groups() []string {
	return []string{groupServe, groupTarget, groupDocker, groupApps, groupTasks, groupImages, groupDrops, groupLogs, groupSee, groupSSH, groupHelp}
}

// Main runs the command that args name, args[0] being the program, and returns
// the exit code. When ctx ends, so does the command; a client command that was
// not finished then returns 160.
func Main(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	name := "lattice"
	if len(args) > 0 {
		if strings.HasPrefix(filepath.Base(args[0]), "ltc") {
			name = "ltc"
		}
		args = args[1:]
	}
	st := newStreams(name, stdin, stdout, stderr)
	root := newRoot(st)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil && st.out.failed != nil {
		err = fail(exitFile, fmt.Errorf("write to standard output: %w", st.out.failed))
	}
	if err == nil {
		return exitOK
	}
	if code := exited(0); errors.As(err, &code) {
		return int(code)
	}
	if ctx.Err() != nil {
		return exitSignal
	}
	st.report(err)
	return exitCode(err)
}

func newRoot(st *streams) *cobra.Command {
	root := &cobra.Command{
		Use:                   st.name + " COMMAND",
		Long:                  "Run container apps on one machine or a handful of them.",
		Version:               currentVersion(),
		Args:                  cobra.ArbitraryArgs,
		SilenceErrors:         true,
		SilenceUsage:          true,
		DisableFlagsInUseLine: true,
		CompletionOptions:     cobra.CompletionOptions{DisableDefaultCmd: true},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return cmd.Help()
		},
	}
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetIn(st.in)
	root.SetOut(st.out)
	root.SetErr(st.err)
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) { writeHelp(st, cmd) })
	root.SetFlagErrorFunc(flagError)
	root.PersistentFlags().BoolVarP(&st.quiet, "quiet", "q", false, "print no progress and no remarks, and of what is listed or done only the names")
	for _, g := range groups() {
		root.AddGroup(&cobra.Group{ID: g, Title: g})
	}
	root.AddCommand(serverCommands(st)...)
	root.AddCommand(sessionCommands(st)...)
	root.AddCommand(
		newToken(st), newGossip(st),
		newTarget(st), newLogin(st), newLogout(st),
		newCA(st),
		newUser(st), newDashboard(st),
		newCreate(st),
		newScale(st), newUpdate(st), newRollback(st), newRestart(st), newStop(st), newStart(st), newRemove(st), newRebalance(st),
		newRun(st), newSubmitTask(st), newTask(st), newTasks(st), newCancelTask(st), newDeleteTask(st),
		newSchedule(st), newSchedules(st), newUnschedule(st),
		newVolumes(st), newRegistry(st), newImages(st), newPush(st), newBuild(st), newBuilders(st), newFeature(st),
		newLogs(st), newEvents(st),
		newList(st), newStatus(st), newRevisions(st), newVisualize(st), newTop(st), newCells(st), newRoutes(st), newAdopt(st),
		newExplain(st), newDoctor(st), newSupportBundle(st), newTest(st), newSimulate(st), newVersion(st), newCompletion(st), newDocs(st),
	)
	root.AddCommand(fileCommands(st)...)
	root.AddCommand(dropletCommands(st)...)
	root.SetHelpCommand(newHelp())
	completeNames(root)
	return root
}

// args returns a check that there are min to max arguments, max < 0 meaning
// any number. what names them as the usage line does.
func args(min, max int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, got []string) error {
		switch {
		case len(got) < min:
			return usage(cmd, "%s needs %s", cmd.Name(), what)
		case max == 0 && len(got) > 0:
			return usage(cmd, "%s takes no argument, got %q", cmd.Name(), got[0])
		case max >= 0 && len(got) > max:
			return usage(cmd, "%s takes only %s, got also %q", cmd.Name(), what, got[max])
		}
		return nil
	}
}
