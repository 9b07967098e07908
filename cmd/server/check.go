package main

// What the start needs of the machine: directories, an address, files. The start
// and -check-config ask the same functions, so that they agree.

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/VictoriaMetrics/metrics"

	"logforge/config"
	"logforge/sink/archive"
	"logforge/sink/kafka"
)

// check returns why a service with this configuration would not start, as far as
// that can be known beforehand, each reason on a line of its own. It leaves
// nothing behind. What another process holds, an address or a directory, is no
// fault of the configuration: it may be the service itself.
func check(p *program) error {
	undo, dirs := makeDirectories(p.cfg)
	undo()
	ln, address := listen(p.cfg.Server.Addr)
	switch {
	case address == nil:
		address = ln.Close()
	case errors.Is(address, syscall.EADDRINUSE):
		address = nil
	}
	return errors.Join(dirs, checkParts(p), address)
}

// checkParts returns what the parts of the service refuse of the configuration: a
// certificate that cannot be read, sizes that do not go together. It makes what
// can be made without touching anything outside the process. The start asks it
// before anything else.
func checkParts(p *program) error {
	quiet := *p
	quiet.log, quiet.set = &logger{Logger: slog.New(slog.DiscardHandler)}, metrics.NewSet()
	_, srv := newServer(&quiet, refusingSink{}, func() error { return nil }, noSummaries{})
	var broker, archived error
	if p.cfg.Pipeline == 2 {
		broker = kafka.Check(p.cfg)
	}
	if stores(p.cfg) {
		archived = archive.Check(p.cfg.Archive)
	}
	return errors.Join(srv, broker, archived)
}

// directories are those that a process of this configuration writes into, by
// their settings.
func directories(cfg *config.Config) map[string]string {
	dirs := map[string]string{}
	if stores(cfg) {
		dirs["storage.logsDir"], dirs["storage.analyticsDir"] = cfg.Storage.LogsDir, cfg.Storage.AnalyticsDir
	}
	if cfg.Pipeline == 2 && ingests(cfg) {
		dirs["kafka.deadLetterDir"] = kafka.DeadLetterDir(cfg.Kafka, cfg.Storage)
	}
	return dirs
}

// makeDirectories makes the directories that are missing. undo removes those
// that it made, as far as they are empty.
func makeDirectories(cfg *config.Config) (undo func(), err error) {
	var made []string
	var errs []error
	dirs := directories(cfg)
	for _, key := range slices.Sorted(maps.Keys(dirs)) {
		own, err := makeDirectory(dirs[key])
		made = append(made, own...)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s (%s): %w", key, config.EnvName(key), err))
		}
	}
	return func() {
		for _, dir := range slices.Backward(made) {
			_ = os.Remove(dir) // fails where another process has put something into it, and so it should
		}
	}, errors.Join(errs...)
}

// makeDirectory makes dir, with its parents, and sees whether files can be made
// in it. It returns the directories that it made.
func makeDirectory(dir string) (made []string, err error) {
	for parent := filepath.Clean(dir); ; parent = filepath.Dir(parent) {
		if _, err := os.Lstat(parent); !errors.Is(err, fs.ErrNotExist) || parent == filepath.Dir(parent) {
			break
		}
		made = append([]string{parent}, made...)
	}
	err = os.MkdirAll(dir, 0o755)
	if err == nil {
		var probe string
		if probe, err = os.MkdirTemp(dir, ".check-*"); err == nil {
			err = os.Remove(probe)
		}
	}
	switch {
	case err == nil, errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return made, nil // a full disk is not a fault of the configuration, and passes
	case errors.Is(err, syscall.EROFS) && len(made) == 0:
		return nil, nil // nor is a file system that the kernel has made read-only: /ready says so
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		err = fmt.Errorf("%w: choose a directory that user %d may write, or change its owner", err, os.Geteuid())
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, fs.ErrExist):
		err = fmt.Errorf("%w: a file is in the way; choose another directory", err)
	default:
		err = fmt.Errorf("%w: choose another directory", err)
	}
	return made, err
}

// listen listens on addr; its errors say what to do.
func listen(addr string) (net.Listener, error) {
	ln, err := net.Listen("tcp", addr)
	var dns *net.DNSError
	const other = "choose another address with -addr or server.addr"
	switch {
	case err == nil:
		return ln, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%w: another process listens there; %s", err, other)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, fmt.Errorf("%w: this machine does not have that address; %s, such as :8082 for all of its addresses", err, other)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%w: ports below 1024 need a right of their own (CAP_NET_BIND_SERVICE); %s", err, other)
	case errors.As(err, &dns):
		return nil, fmt.Errorf("%w: no such host name; %s", err, other)
	}
	return nil, fmt.Errorf("%w: %s", err, other)
}
