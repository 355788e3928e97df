package cli

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"lattice/api"
	"lattice/app"
)

func newCells(st *streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "cells",
		Aliases: []string{"ce"},
		GroupID: groupSee,
		Short:   "List the cells and what they have left",
		Example: st.name + " cells\n" + st.name + " cells -o json",
		Args:    args(0, 0, ""),
	}
	out := formatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		b, err := connect()
		if err != nil {
			return err
		}
		cells, err := b.Cells(cmd.Context())
		if err != nil {
			return fmt.Errorf("list the cells: %w", err)
		}
		show := func(cells []api.CellStatus) *table { return cellsTable(cells, st.out.tty) }
		return list(st, *out, cells, func(c api.CellStatus) string { return c.ID }, show,
			"No cells. Start one on a Linux machine: lattice cell --join ADDR --token-file FILE")
	}
	return cmd
}

// cellsTable has, with bars, a picture of the memory in use.
func cellsTable(cells []api.CellStatus, bars bool) *table {
	var t table
	privileged := slices.ContainsFunc(cells, func(c api.CellStatus) bool { return c.Trusting })
	last := []any{}
	head := []string{"Cell", "Zone", "State", "Memory", "Disk", "Containers", "Running/Claimed", "Address", "Version"}
	if privileged {
		head = append(head, "Privileged")
	}
	t.head(head...)
	for _, c := range cells {
		memory := share(c.Used.MemoryMB, c.Capacity.MemoryMB)
		if bars {
			memory = bar(int64(c.Used.MemoryMB), int64(c.Capacity.MemoryMB), 10) + " " + memory
		}
		if privileged {
			last = []any{map[bool]string{true: "allowed", false: "no"}[c.Trusting]}
		}
		t.row(append([]any{field{c.ID, bold}, c.Zone, cellState(c.Cell), memory, share(c.Used.DiskMB, c.Capacity.DiskMB),
			fmt.Sprintf("%d/%d", c.Used.Containers, c.Capacity.Containers),
			fmt.Sprintf("%d/%d", c.Running, c.Claimed), cellAddress(c.Cell), c.Version}, last...)...)
	}
	return &t
}

func cellAddress(c app.Cell) string {
	if c.Router {
		return c.Address + " (router)"
	}
	return c.Address
}

// share returns used and all of something in MiB.
func share(used, all int) string {
	return sizeText(int64(used)<<20) + "/" + sizeText(int64(all)<<20)
}

func cellState(c app.Cell) field {
	switch {
	case c.State == app.CellAlive && c.Draining:
		return field{"DRAINING", yellow}
	case c.State == app.CellAlive:
		return field{string(c.State), green}
	case c.State == app.CellSuspect:
		return field{string(c.State), yellow}
	}
	return field{string(c.State), red}
}
