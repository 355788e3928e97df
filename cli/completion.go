package cli

import (
	"context"
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
// usage line names APP, CELL or NAME.
func completeNames(root *cobra.Command) {
	for _, cmd := range root.Commands() {
		completeNames(cmd)
		if cmd.ValidArgsFunction != nil || len(cmd.ValidArgs) > 0 || cmd.HasSubCommands() {
			continue
		}
		words := strings.Fields(cmd.Use)[1:]
		cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
			word := wordAt(words, len(args))
			if word == "FILE" {
				return nil, cobra.ShellCompDirectiveDefault
			}
			ctx, cancel := context.WithTimeout(context.Background(), completeWithin)
			defer cancel()
			names := slices.DeleteFunc(namesFor(ctx, cmd, word), func(name string) bool {
				return !strings.HasPrefix(name, typed) || slices.Contains(args, name)
			})
			return names, cobra.ShellCompDirectiveNoFileComp
		}
	}
}

// wordAt returns what the usage line calls the argument i, such as APP. The
// last one may be repeated.
func wordAt(words []string, i int) string {
	if len(words) == 0 {
		return ""
	}
	word := words[min(i, len(words)-1)]
	if i >= len(words) && !strings.Contains(word, "…") {
		return ""
	}
	name := strings.TrimLeft(word, "[")
	if end := strings.IndexFunc(name, func(r rune) bool { return r < 'A' || r > 'Z' }); end >= 0 {
		name = name[:end]
	}
	return name
}

// namesFor asks the current target for the names of what word stands for. A
// shell that completes has no use for errors.
func namesFor(ctx context.Context, cmd *cobra.Command, word string) []string {
	var names []string
	switch word {
	case "APP":
		if b, err := connect(); err == nil {
			apps, _ := b.Apps(ctx)
			for _, a := range apps {
				names = append(names, a.App.Name)
			}
		}
	case "CELL":
		if b, err := connect(); err == nil {
			cells, _ := b.Cells(ctx)
			for _, c := range cells {
				names = append(names, c.ID)
			}
		}
	case "NAME":
		if ts, err := loadTargets(); err == nil && cmd.HasParent() && cmd.Parent().Name() == "target" && cmd.Name() != "add" {
			for name := range ts.Targets {
				names = append(names, name)
			}
		}
	case "COMMAND":
		for _, c := range cmd.Root().Commands() {
			if !c.Hidden {
				names = append(names, c.Name())
			}
		}
	}
	slices.Sort(names)
	return names
}
