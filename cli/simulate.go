package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

	"lattice/scheduler/simulate"
)

// simulation is what was asked of simulate.
type simulation struct {
	live            bool
	lose, loseZones []string
	rebalance       bool
	svg             string
}

func newSimulate(st *streams) *cobra.Command {
	var s simulation
	cmd := &cobra.Command{
		Use:     "simulate [FILE]",
		GroupID: groupHelp,
		Short:   "Try where apps would go, without running anything",
		Long: `Try where apps would go, without running anything. Nothing is changed.

A scenario in YAML has cells, apps, tasks, and events such as the loss of a cell
or a zone, or the upgrade of all cells one after the other. With --live it begins
with the cluster as it is now, and what the scenario has comes to that; so
'--live --lose CELL' says whether all would still fit if that cell died.

It shows after each event how full the cells are, zone by zone, and what fits
nowhere and why. If something fits nowhere at the end, it fails.`,
		Example: st.name + " simulate --live --lose cell-2\n" +
			st.name + " simulate scenario.yaml --svg picture.svg\n" +
			st.name + " simulate --live new-apps.yaml",
		Args: args(0, 1, "one FILE"),
	}
	fl := cmd.Flags()
	fl.BoolVar(&s.live, "live", false, "begin with the cluster as it is now")
	fl.StringArrayVar(&s.lose, "lose", nil, "at the end `CELL` dies; may be repeated")
	fl.StringArrayVar(&s.loseZones, "lose-zone", nil, "at the end all cells in `ZONE` die; may be repeated")
	fl.BoolVar(&s.rebalance, "rebalance", false, "at the end instances are moved so that cells are used evenly")
	fl.StringVar(&s.svg, "svg", "", "draw the cells into `FILE`")
	out := formatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 && !s.live {
			return usage(cmd, "name a scenario, or begin with the cluster as it is now by --live")
		}
		scenario := simulate.Scenario{Name: "the cluster as it is now"}
		if len(args) > 0 {
			var err error
			if scenario, err = readScenario(args[0]); err != nil {
				return err
			}
		}
		stages, err := s.run(cmd.Context(), scenario)
		if err != nil {
			return fmt.Errorf("simulate: %w", err)
		}
		if err := s.draw(scenario.Name, stages); err != nil {
			return err
		}
		if *out != asTable {
			err = out.encode(st.out, stages)
		} else {
			writeStages(st, stages)
		}
		if err == nil && !stages[len(stages)-1].Fits() {
			err = fail(exitPlacement, errors.New("not everything fits"))
		}
		return err
	}
	return cmd
}

// readScenario reads a scenario; its name is that of the file unless it has one.
func readScenario(path string) (simulate.Scenario, error) {
	s := simulate.Scenario{Name: path}
	text, err := readSmallFile(path)
	if err != nil {
		return s, fail(exitFile, fmt.Errorf("read the scenario: %w", err))
	}
	if err := yaml.UnmarshalWithOptions([]byte(text), &s, yaml.Strict()); err != nil && !errors.Is(err, io.EOF) {
		return s, fmt.Errorf("%s: %s", path, yaml.FormatError(err, false, true))
	}
	return s, nil
}

func (s *simulation) run(ctx context.Context, scenario simulate.Scenario) ([]simulate.Stage, error) {
	w, err := s.world(ctx, scenario)
	if err != nil {
		return nil, err
	}
	events := scenario.Events
	for _, cell := range s.lose {
		events = append(events, simulate.Event{LoseCell: cell})
	}
	for _, zone := range s.loseZones {
		events = append(events, simulate.Event{LoseZone: zone})
	}
	if s.rebalance {
		events = append(events, simulate.Event{Rebalance: true})
	}
	return w.Run("all placed", events)
}

func (s *simulation) world(ctx context.Context, scenario simulate.Scenario) (*simulate.World, error) {
	if !s.live {
		return simulate.New(scenario)
	}
	c, err := client()
	if err != nil {
		return nil, err
	}
	cells, err := c.Cells(ctx)
	if err != nil {
		return nil, err
	}
	apps, err := c.Apps(ctx)
	if err != nil {
		return nil, err
	}
	tasks, err := c.Tasks(ctx)
	if err != nil {
		return nil, err
	}
	w := simulate.Live(plainCells(cells), apps, tasks, scenario.Options())
	return w, w.Add(scenario)
}

func (s *simulation) draw(title string, stages []simulate.Stage) error {
	if s.svg == "" {
		return nil
	}
	f, err := os.Create(s.svg)
	if err == nil {
		err = errors.Join(simulate.WriteSVG(f, title, stages), f.Close())
	}
	if err != nil {
		return fail(exitFile, fmt.Errorf("draw the picture: %w", err))
	}
	return nil
}
