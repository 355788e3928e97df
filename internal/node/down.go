package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"lattice/cells"
	"lattice/cells/containerd"
	"lattice/cells/network"
	"lattice/cells/volumes"
	"lattice/internal/config"
)

// stopGrace is how long an app may take to end in Down.
const stopGrace = 10 * time.Second

// Down stops the process that works with the data folder, then removes what it
// made on this host: containers, mounts, network, sockets. Desired state, images
// and logs stay unless deleteData is set. say tells what is being done.
func Down(ctx context.Context, cfg config.Common, deleteData bool, log *slog.Logger, say func(format string, args ...any)) error {
	if err := stopProcess(ctx, cfg, say); err != nil {
		return err
	}
	if _, err := os.Stat(cfg.DataDir); errors.Is(err, fs.ErrNotExist) {
		say("nothing to stop: there is no data folder %s", cfg.DataDir)
		return nil
	}
	release, err := claim(cfg)
	if err != nil {
		return err
	}
	defer release()
	if err := removeContainers(ctx, cfg, log, say); err != nil {
		return err
	}
	if err := volumes.UnmountAll(cfg.StateDir); err != nil {
		return err // what is on a server must not be deleted with the folder
	}
	err = os.RemoveAll(cfg.StateDir)
	if !deleteData {
		return errors.Join(err, cells.ForgetApps(filepath.Join(cfg.DataDir, "cell", "instances")))
	}
	say("deleting %s", cfg.DataDir)
	return errors.Join(err, os.RemoveAll(cfg.DataDir))
}

// stopProcess ends the process that has claimed the data folder.
func stopProcess(ctx context.Context, cfg config.Common, say func(string, ...any)) error {
	pid := holder(cfg)
	if pid == 0 {
		return nil
	}
	say("stopping lattice (process %d)", pid)
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("stop process %d: %w", pid, err)
	}
	deadline := time.Now().Add(grace + drain)
	evacuates := false
	for holder(cfg) == pid {
		if _, err := os.Stat(evacuationMark(cfg)); err == nil && !evacuates {
			evacuates = true
			say("it moves its instances to other cells first; a second SIGTERM ends it at once")
			deadline = deadline.Add(config.MaxEvacuateTimeout) // it knows its own limit
		}
		if time.Now().After(deadline) {
			say("it does not end, killing it")
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("kill process %d: %w", pid, err)
			}
			deadline = deadline.Add(time.Hour)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}

// removeContainers stops and removes all containers of this installation and
// its network. A host that never was a cell has none.
func removeContainers(ctx context.Context, cfg config.Common, log *slog.Logger, say func(string, ...any)) error {
	dir := filepath.Join(cfg.DataDir, "cell")
	if _, err := os.Stat(filepath.Join(dir, "containerd")); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	bin, err := containerd.Unpack(filepath.Join(dir, "bin"))
	if err != nil {
		return err
	}
	net, err := network.Open(network.Config{Name: installation(cfg), Dir: filepath.Join(dir, "network"), Log: log})
	if err != nil {
		return err
	}
	defer net.Close()
	rt, err := containerd.Open(ctx, containerd.Config{
		Root: filepath.Join(dir, "containerd"), State: cfg.StateDir, Bin: bin, LogRoot: filepath.Join(dir, "logs"), Network: net, Log: log,
	})
	if err != nil {
		return err
	}
	err = errors.Join(removeAll(ctx, rt, say), rt.Close())
	return errors.Join(err, net.Destroy(ctx))
}

func removeAll(ctx context.Context, rt cells.Runtime, say func(string, ...any)) error {
	all, err := rt.List(ctx)
	if err != nil || len(all) == 0 {
		return err
	}
	say("stopping %d container(s)", len(all))
	errs := make([]error, len(all))
	var wg sync.WaitGroup
	for i, c := range all {
		wg.Go(func() {
			errs[i] = errors.Join(rt.Stop(ctx, c.GUID, "SIGTERM", stopGrace), rt.Remove(ctx, c.GUID))
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
