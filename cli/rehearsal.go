package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"lattice/app"
)

// dryRunFlag gives cmd the flag --dry-run.
func dryRunFlag(cmd *cobra.Command) *bool {
	return cmd.Flags().Bool("dry-run", false, "only show what would change, and what would run where")
}

// A dryRun is what --dry-run tells.
type dryRun struct {
	Changes []difference `json:"changes,omitempty"` // of an app that there is
	app.Rehearsal
}

// rehearsed shows what a change would lead to. It is a failure when instances
// would fit nowhere, as the change itself would be.
func (st *streams) rehearsed(as format, r app.Rehearsal, changes ...difference) error {
	r.App = hideEnv(app.Status{App: r.App}).App
	if as != asTable {
		if err := as.encode(st.out, dryRun{changes, r}); err != nil {
			return err
		}
	} else {
		writeRehearsal(st.out, r)
	}
	if len(r.Refused) > 0 {
		return &failure{
			code: exitPlacement, err: fmt.Errorf("%d of %d instances of %s would fit nowhere", len(r.Refused), r.App.Wanted(), r.App.Name),
			hint: "ask for less memory, disk or instances, or add a cell; nothing was changed",
		}
	}
	return nil
}

func writeRehearsal(w *screen, r app.Rehearsal) {
	var t table
	instance := func(index int) string { return fmt.Sprintf("%s/%d", r.App.Name, index) }
	for _, p := range r.Start {
		t.row("", field{"start", green}, instance(p.Index), "on "+p.Cell, revisionText(p.Revision, r.App))
	}
	for _, p := range r.Stop {
		t.row("", field{"stop", yellow}, instance(p.Index), "on "+p.Cell, revisionText(p.Revision, r.App))
	}
	for _, x := range r.Refused {
		t.row("", field{"refuse", red}, instance(x.Index), x.Reason)
	}
	if r.Keep > 0 {
		t.row("", "keep", instancesText(r.Keep))
	}
	if len(t.rows) == 0 {
		fmt.Fprintf(w, "No instance of %s would start or stop.\n", r.App.Name)
		return
	}
	fmt.Fprintln(w, "Nothing was changed. If nothing else happens meanwhile, this would:")
	t.write(w)
	if r.Partly {
		fmt.Fprintln(w, "  … and more: the whole was too long to work out")
	}
}

// revisionText names a revision where there is more than one.
func revisionText(n uint64, a app.App) string {
	if a.Revision <= 1 {
		return ""
	}
	return fmt.Sprintf("revision %d", n)
}
