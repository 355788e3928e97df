// Command scale measures one brain with a thousand cells that are simulated:
// each joins and has a certificate of its own, holds the streams that a cell
// holds and sends the reports that a cell sends, over mTLS; only its containers
// don't exist, and it doesn't gossip: a thousand members of a gossip on one
// machine take more of it than all the rest, so the brain is told what they
// would say. The last line it prints is one JSON object.
//
// The brain is a process of its own, with its real store, and what is measured
// of it is what the kernel says. The cells share another one, and the machine
// with it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) > 1 && os.Args[1] == "brain" {
		if err := runBrain(context.Background(), os.Args[2:]); err != nil {
			log.Fatal(err)
		}
		return
	}
	var b bench
	flag.IntVar(&b.cells, "cells", 1000, "how many cells there are")
	flag.IntVar(&b.first, "instances", 50_000, "how many instances are placed and measured")
	flag.IntVar(&b.most, "most", 250_000, "then the same again, until there are so many")
	flag.DurationVar(&b.limit, "limit", 5*time.Minute, "no further step is begun that would end after this time")
	flag.DurationVar(&b.window, "window", 20*time.Second, "how long idleness and churn are measured")
	flag.BoolVar(&b.keep, "keep", false, "keep the brain's folder and its log")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := b.run(ctx); err != nil {
		log.Fatal("bench-scale: ", err)
	}
}

type bench struct {
	cells, first, most int
	limit, window      time.Duration
	keep               bool

	began  time.Time
	brain  *brain
	crowd  *crowd
	result result
}

// result is the last line.
type result struct {
	Cells      int     `json:"cells"`
	Instances  int     `json:"instances"` // of what follows up to Most
	JoinS      float64 `json:"join_s"`
	PlaceS     float64 `json:"place_and_report_s"` // from the first create until all are reported as running
	RSSMB      float64 `json:"rss_mb"`
	IdleCPU    float64 `json:"idle_cpu_percent"`  // of one core
	ChurnCPU   float64 `json:"churn_cpu_percent"` // while 1 % of the instances crash each minute
	IdleP99    float64 `json:"idle_api_p99_ms"`
	ChurnP99   float64 `json:"churn_api_p99_ms"`
	LossS      float64 `json:"cell_lost_to_replaced_s"` // one cell goes without a word
	Most       int     `json:"most_instances"`
	MostRSSMB  float64 `json:"most_rss_mb"`
	MostPlaceS float64 `json:"most_place_and_report_s"` // of the last step
	MostIdle   float64 `json:"most_idle_cpu_percent"`
	MostChurn  float64 `json:"most_churn_cpu_percent"`
	MostP99    float64 `json:"most_churn_api_p99_ms"`
}

func (b *bench) run(ctx context.Context) (err error) {
	b.began = time.Now()
	dir, err := os.MkdirTemp("", "lattice-scale-")
	if err != nil {
		return err
	}
	defer func() {
		if b.keep {
			fmt.Println("kept", dir)
		} else {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	if b.brain, err = startBrain(dir); err != nil {
		return err
	}
	defer b.brain.stop()
	b.crowd = &crowd{brain: b.brain}
	defer b.crowd.stop()
	if err := b.join(ctx); err != nil {
		return err
	}
	if err := b.steps(ctx); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(b.result)
}

func (b *bench) join(ctx context.Context) error {
	start := time.Now()
	if err := b.crowd.join(ctx, b.cells); err != nil {
		return err
	}
	if err := b.brain.until(ctx, "all cells are alive", func(s seen) bool { return s.alive == b.cells }); err != nil {
		return err
	}
	b.result.Cells, b.result.JoinS = b.cells, time.Since(start).Seconds()
	fmt.Printf("%d cells joined and alive after %.1f s; brain %.0f MB\n", b.cells, b.result.JoinS, b.brain.rss())
	return nil
}

// steps places instances until there are as many as there is time for.
func (b *bench) steps(ctx context.Context) error {
	for have := 0; have < b.most; {
		start := time.Now()
		step := min(b.first, b.most-have)
		place, err := b.place(ctx, have, step)
		if err != nil {
			return err
		}
		have += step
		m, err := b.measure(ctx, have)
		if err != nil {
			return err
		}
		fmt.Printf("%d instances: all placed and reported after %.1f s; brain %.0f MB; idle %.1f %% of a core, API p99 %.1f ms; 1 %% crash a minute: %.1f %%, p99 %.1f ms\n",
			have, place, m.rss, m.idle.cpu, m.idle.p99, m.churn.cpu, m.churn.p99)
		r := &b.result
		r.Most, r.MostPlaceS, r.MostRSSMB, r.MostIdle, r.MostChurn, r.MostP99 = have, place, m.rss, m.idle.cpu, m.churn.cpu, m.churn.p99
		if have == step {
			r.Instances, r.PlaceS, r.RSSMB = have, place, m.rss
			r.IdleCPU, r.IdleP99, r.ChurnCPU, r.ChurnP99 = m.idle.cpu, m.idle.p99, m.churn.cpu, m.churn.p99
			if err := b.lose(ctx, have); err != nil {
				return err
			}
		}
		if left := b.limit - time.Since(b.began); left < time.Since(start)*3/2 {
			fmt.Printf("no time is left for another %d\n", step)
			break
		}
	}
	return nil
}

// perApp is how many instances an app has.
const perApp = 100

// place creates apps for n more instances and waits until the brain shows all
// as running.
func (b *bench) place(ctx context.Context, have, n int) (float64, error) {
	start := time.Now()
	if err := b.brain.create(ctx, have/perApp, n/perApp, perApp); err != nil {
		return 0, err
	}
	fmt.Printf("%d apps created after %.1f s\n", n/perApp, time.Since(start).Seconds())
	err := b.brain.until(ctx, "all run", func(s seen) bool { return s.running == have+n })
	return time.Since(start).Seconds(), err
}

type measured struct {
	rss         float64
	idle, churn load
}

// load is what the brain does in a while.
type load struct{ cpu, p99 float64 }

func (b *bench) measure(ctx context.Context, have int) (m measured, err error) {
	time.Sleep(5 * time.Second) // what a burst took is given back
	if m.idle, err = b.watch(ctx, have); err != nil {
		return m, err
	}
	stop := b.crowd.crash(have / 100)
	defer stop()
	m.churn, err = b.watch(ctx, have)
	m.rss = b.brain.rss()
	return m, err
}

// watch measures a while, with a look at an app 20 times a second.
func (b *bench) watch(ctx context.Context, have int) (load, error) {
	var took []time.Duration
	start, cpu := time.Now(), b.brain.cpu()
	for i := 0; time.Since(start) < b.window; i++ {
		asked := time.Now()
		if _, err := b.brain.client.App(ctx, appName(i*7919%(have/perApp))); err != nil {
			return load{}, err
		}
		took = append(took, time.Since(asked))
		time.Sleep(50*time.Millisecond - time.Since(asked))
	}
	used := b.brain.cpu() - cpu
	slices.Sort(took)
	return load{100 * used.Seconds() / time.Since(start).Seconds(), float64(took[len(took)*99/100].Microseconds()) / 1000}, nil
}

// lose lets a cell die and waits until its instances run elsewhere.
func (b *bench) lose(ctx context.Context, have int) error {
	start := time.Now()
	lost := b.crowd.lose()
	err := b.brain.until(ctx, "the lost cell's instances run elsewhere", func(s seen) bool { return s.alive < b.cells && s.running == have })
	b.result.LossS = time.Since(start).Seconds()
	fmt.Printf("a cell with %d instances died: they ran elsewhere after %.1f s\n", lost, b.result.LossS)
	return err
}
