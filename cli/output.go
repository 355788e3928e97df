package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"
)

// A format is the value of --output.
type format string

const (
	asTable format = "table"
	asJSON  format = "json"
	asYAML  format = "yaml"
)

// formatFlag gives cmd the flag --output.
func formatFlag(cmd *cobra.Command) *format {
	f := asTable
	cmd.Flags().VarP(&f, "output", "o", "`FORMAT` of the output: table, json or yaml")
	return &f
}

func (f *format) String() string { return string(*f) }
func (f *format) Type() string   { return "FORMAT" }

// Set implements pflag.Value.
func (f *format) Set(s string) error {
	switch v := format(s); v {
	case asTable, asJSON, asYAML:
		*f = v
		return nil
	}
	return errors.New("must be table, json or yaml")
}

// list prints items: as --output says, or with --quiet only their names, or as
// a table; that there are none is a remark.
func list[T any](st *streams, as format, items []T, name func(T) string, show func([]T) *table, none string) error {
	switch {
	case as != asTable:
		return as.encode(st.out, append([]T{}, items...))
	case st.quiet:
		for _, item := range items {
			fmt.Fprintln(st.out, name(item))
		}
	case len(items) == 0:
		st.note("%s", none)
	default:
		show(items).write(st.out)
	}
	return nil
}

// encode prints v as JSON or YAML, with the field names of the API.
func (f format) encode(w io.Writer, v any) error {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("print as %s: %w", f, err)
	}
	b := buf.Bytes()
	if f == asYAML {
		var err error
		if b, err = yaml.JSONToYAML(b); err != nil {
			return fmt.Errorf("print as %s: %w", f, err)
		}
	}
	_, err := w.Write(b)
	return err
}
