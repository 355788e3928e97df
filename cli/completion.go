package cli

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// completeWithin bounds how long a shell waits for names of the live target.
const completeWithin = 700 * time.Millisecond

func newCompletion(st *streams) *cobra.Command {
	return &cobra.Command{
		Use:     "completion SHELL",
		GroupID: groupHelp,
		Short:   "Print what lets a shell complete commands, flags, apps and cells",
		Long: `Print what lets a shell complete commands, flags, and the names of apps and cells
of the current target. SHELL is bash, zsh, fish or powershell.`,
		Example: "source <(" + st.name + " completion bash)\n" +
			st.name + " completion bash > /etc/bash_completion.d/" + st.name + "\n" +
			st.name + " completion zsh > \"${fpath[1]}/_" + st.name + "\"\n" +
			st.name + " completion fish > ~/.config/fish/completions/" + st.name + ".fish\n" +
			st.name + " completion powershell | Out-String | Invoke-Expression",
		Args:      args(1, 1, "bash, zsh, fish or powershell"),
		ValidArgs: []string{"bash", "zsh", "fish", "powershell"},
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(st.out, true)
			case "zsh":
				return root.GenZshCompletion(st.out)
			case "fish":
				return root.GenFishCompletion(st.out, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(st.out)
			}
			return usage(cmd, "there is no completion for %q, only for bash, zsh, fish and powershell", args[0])
		},
	}
}

// completeNames lets every command below root complete the arguments that its
// usage line names APP, TASK, CELL or NAME.
func completeNames(root *cobra.Command) {
	for _, cmd := range root.Commands() {
		completeNames(cmd)
		if cmd.ValidArgsFunction != nil || len(cmd.ValidArgs) > 0 || cmd.HasSubCommands() {
			continue
		}
		words := strings.Fields(strings.ReplaceAll(cmd.Use, " | ", "|"))[1:]
		cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
			kinds := kindsAt(words, len(args))
			if slices.Contains(kinds, "FILE") {
				return nil, cobra.ShellCompDirectiveDefault
			}
			ctx, cancel := context.WithTimeout(context.Background(), completeWithin)
			defer cancel()
			var names []string
			for _, kind := range kinds {
				names = append(names, namesOf(ctx, cmd, kind)...)
			}
			names = slices.DeleteFunc(names, func(name string) bool {
				return !strings.HasPrefix(name, typed) || slices.Contains(args, name)
			})
			slices.Sort(names)
			return names, cobra.ShellCompDirectiveNoFileComp
		}
	}
}

// kindsAt returns what the usage line says that argument i can be, such as APP
// and TASK. The last one may be repeated.
func kindsAt(words []string, i int) []string {
	if len(words) == 0 || i >= len(words) && !strings.HasSuffix(words[len(words)-1], "…") {
		return nil
	}
	return strings.FieldsFunc(words[min(i, len(words)-1)], func(r rune) bool { return r < 'A' || r > 'Z' })
}

// namesOf asks the current target for the names of a kind. A shell that
// completes has no use for errors.
func namesOf(ctx context.Context, cmd *cobra.Command, kind string) (names []string) {
	if kind == "NAME" {
		if ts, err := loadTargets(); err == nil && cmd.Parent().Name() == "target" && cmd.Name() != "add" {
			names = slices.Collect(maps.Keys(ts.Targets))
		}
		return names
	}
	c, err := client()
	if err != nil {
		return nil
	}
	switch kind {
	case "APP":
		apps, _ := c.Apps(ctx)
		for _, a := range apps {
			names = append(names, a.App.Name)
		}
	case "TASK":
		tasks, _ := c.Tasks(ctx)
		for _, t := range tasks {
			names = append(names, t.Name)
		}
	case "CELL":
		cells, _ := c.Cells(ctx)
		for _, c := range cells {
			names = append(names, c.ID)
		}
	}
	return names
}
