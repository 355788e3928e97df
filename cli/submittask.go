package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"lattice/app"
)

func newSubmitTask(st *streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "submit-task FILE",
		Aliases: []string{"su"},
		GroupID: groupTasks,
		Short:   "Submit a task that a JSON file describes",
		Long: `Submit a task that a JSON file describes, and don't wait for it. FILE may be -
for standard input. The JSON is what 'task -o json' shows, as far as it is yours to
say: {"name": "migrate", "spec": {"image": "team/migrate:v7", "command": ["migrate",
"--all"], "memory_mb": 256}, "timeout": "10m"}.

The task JSON of Lattice's Receptor is taken, too, where a single command is run
in a Docker image; what can't be done is named.`,
		Example: st.name + " submit-task task.json\n" + st.name + " submit-task - < task.json",
		Args:    args(1, 1, "FILE, or - for standard input"),
	}
	out := formatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		text, err := readFileOr(st, args[0])
		if err != nil {
			return fail(exitFile, fmt.Errorf("read the task: %w", err))
		}
		t, ignored, err := parseTask([]byte(text))
		if err != nil {
			return fail(exitSyntax, fmt.Errorf("%s: %w", args[0], err))
		}
		if len(ignored) > 0 {
			st.warn("without meaning here, so left out: %s", strings.Join(ignored, ", "))
		}
		b, err := client()
		if err != nil {
			return err
		}
		if t, err = b.CreateTask(cmd.Context(), t); err != nil {
			return taskFailure(st, "submit "+args[0], err)
		}
		return st.submitted(t, *out)
	}
	return cmd
}

// readFileOr reads a file, or standard input for "-".
func readFileOr(st *streams, path string) (string, error) {
	if path == "-" {
		return readLimited(st.in)
	}
	return readSmallFile(path)
}

// parseTask reads a task in our JSON or in the Receptor's. What that says and
// has no meaning here is ignored.
func parseTask(text []byte) (t app.Task, ignored []string, err error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(text, &fields); err != nil {
		return t, nil, fmt.Errorf("it is no JSON object: %w", err)
	}
	if _, ok := fields["task_guid"]; ok {
		return parseReceptor(text)
	}
	t = app.Task{Spec: app.App{Instances: 1, MemoryMB: app.DefaultMemoryMB}}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&t); err != nil {
		return t, nil, errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	if _, err := dec.Token(); err != io.EOF {
		return t, nil, errors.New("there is more behind the task")
	}
	return t, nil, nil
}
