package main

// Profiles of a whole run, and pprof over HTTP. They are not settings of the
// service, but tools of the person who examines it, and so they come from variables
// of their own:
//
//	PROFILE_CAPTURE=1  writes cpu_NAME.prof (the whole run), heap_NAME.prof and
//	                   goroutine_NAME.prof (both at the moment the stop begins)
//	PROFILE_NAME       NAME; v1 or v2 if empty
//	PROFILE_DIR        where to; ./profiles if empty
//	PROFILE_ENABLED=1  serves /debug/pprof/ on
//	PROFILE_ADDR       localhost:6060 if empty

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	httppprof "net/http/pprof"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strconv"
	"time"
)

// profiles is what this run was asked to record. Its zero value records nothing.
type profiles struct {
	dir, name string
	cpu       *os.File
	server    *http.Server
}

func asked(variable string) bool {
	yes, err := strconv.ParseBool(os.Getenv(variable))
	return err == nil && yes
}

// startProfiles begins what the environment asks for; end ends it.
func startProfiles(version int, log *slog.Logger) (*profiles, error) {
	p := new(profiles)
	if asked("PROFILE_CAPTURE") {
		if err := p.capture(version); err != nil {
			return nil, fmt.Errorf("PROFILE_CAPTURE: %w: choose another directory with PROFILE_DIR", err)
		}
	}
	if asked("PROFILE_ENABLED") {
		if err := p.serve(log); err != nil {
			return nil, errors.Join(fmt.Errorf("PROFILE_ENABLED: %w: choose another address with PROFILE_ADDR", err), p.end())
		}
	}
	return p, nil
}

func (p *profiles) capture(version int) (err error) {
	p.dir = cmp.Or(os.Getenv("PROFILE_DIR"), "profiles")
	p.name = cmp.Or(os.Getenv("PROFILE_NAME"), fmt.Sprintf("v%d", version))
	if err := os.MkdirAll(p.dir, 0o755); err != nil {
		return err
	}
	if p.cpu, err = p.create("cpu"); err != nil {
		return err
	}
	return pprof.StartCPUProfile(p.cpu)
}

func (p *profiles) serve(log *slog.Logger) error {
	ln, err := net.Listen("tcp", cmp.Or(os.Getenv("PROFILE_ADDR"), "localhost:6060"))
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", httppprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", httppprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", httppprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", httppprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", httppprof.Trace)
	p.server = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		if err := p.server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			log.Error("profile server ended", "err", err)
		}
	}()
	log.Info("serving profiles", "url", "http://"+ln.Addr().String()+"/debug/pprof/")
	return nil
}

// snapshot writes the profiles of a moment. It is called while everything still
// runs, so that they show the service at work.
func (p *profiles) snapshot() error {
	if p.cpu == nil {
		return nil
	}
	runtime.GC() // the heap profile is that of the last collection
	return errors.Join(p.write("heap"), p.write("goroutine"))
}

func (p *profiles) write(kind string) error {
	f, err := p.create(kind)
	if err != nil {
		return err
	}
	return errors.Join(pprof.Lookup(kind).WriteTo(f, 0), f.Close())
}

func (p *profiles) create(kind string) (*os.File, error) {
	return os.Create(filepath.Join(p.dir, kind+"_"+p.name+".prof"))
}

func (p *profiles) end() error {
	var err error
	if p.server != nil {
		err = p.server.Close()
	}
	if p.cpu != nil {
		pprof.StopCPUProfile()
		err = errors.Join(err, p.cpu.Close())
	}
	return err
}
