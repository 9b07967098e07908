package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"logforge/bench/corpus"
)

// generator saturates a server with batches.
type generator interface {
	name() string
	// command returns what to run against a server for that long.
	command(c contender, addr, form string, batch int, length time.Duration) ([]string, error)
	// result reads what the command printed.
	result(out []byte) (load, error)
}

// load is what a generator saw.
type load struct {
	Seconds  float64 `json:"seconds"`
	Requests int64   `json:"requests"` // answered
	Accepted int64   `json:"accepted"` // answered with success
	Records  int64   `json:"records"`  // in accepted batches; bench/load only
	Errors   int64   `json:"errors"`   // not answered
	// Milliseconds until the answer; wrk says P50 and P99 only.
	P50, P90, P99, P999, Max float64
}

func newGenerator(name, dir string) (generator, error) {
	switch _, err := exec.LookPath("wrk"); {
	case name == "load", name == "" && err != nil:
		return builtin{filepath.Join(dir, "load")}, nil
	case err != nil:
		return nil, fmt.Errorf("wrk is not installed (Debian: apt install wrk): %w", err)
	case name == "wrk", name == "":
		return newWrk(dir)
	}
	return nil, fmt.Errorf("no generator is called %q: use wrk or load", name)
}

// builtin is bench/load.
type builtin struct{ program string }

func (builtin) name() string { return "bench/load" }

func (b builtin) command(c contender, addr, form string, batch int, length time.Duration) ([]string, error) {
	return []string{b.program, "-addr", addr, "-path", c.path, "-conns", strconv.Itoa(c.conns), "-form", form, "-batch", strconv.Itoa(batch), "-for", length.String()}, nil
}

func (builtin) result(out []byte) (l load, err error) { return l, json.Unmarshal(out, &l) }

//go:embed wrk.lua
var wrkScript []byte

// wrk takes its bodies from files: dir/bodies-FORM-BATCH/1, 2, …
type wrk struct{ dir, script string }

func newWrk(dir string) (wrk, error) {
	w := wrk{dir, filepath.Join(dir, "wrk.lua")}
	return w, os.WriteFile(w.script, wrkScript, 0o644)
}

func (wrk) name() string { return "wrk" }

func (w wrk) command(c contender, addr, form string, batch int, length time.Duration) ([]string, error) {
	f, err := corpus.FormOf(form)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(w.dir, fmt.Sprintf("bodies-%s-%d", form, batch))
	n := max(16, 1000/batch)
	if err := os.Mkdir(dir, 0o755); err == nil {
		for i, body := range f.Bodies(corpus.Records(1, n*batch, 1), batch) {
			if err := os.WriteFile(filepath.Join(dir, strconv.Itoa(i+1)), body, 0o644); err != nil {
				return nil, err
			}
		}
	} else if !errors.Is(err, os.ErrExist) {
		return nil, err
	}
	return []string{"wrk", "-t1", "-c", strconv.Itoa(c.conns), "-d", strconv.Itoa(int(length.Seconds())) + "s", "--timeout", "10s",
		"-s", w.script, "http://" + addr + c.path, "--", dir, strconv.Itoa(n), f.ContentType}, nil
}

func (wrk) result(out []byte) (l load, err error) {
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		if bytes.HasPrefix(lines.Bytes(), []byte("{")) {
			return l, json.Unmarshal(lines.Bytes(), &l)
		}
	}
	return l, fmt.Errorf("wrk printed no result:\n%s", out)
}

// drive runs the generator, pinned to a core.
func (s *settings) drive(ctx context.Context, c contender, addr string, batch int, length time.Duration) (load, error) {
	args, err := s.load.command(c, addr, cmp.Or(c.form, s.form), batch, length)
	if err != nil {
		return load{}, err
	}
	cmd := pinned(ctx, s.loadCore, args)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return load{}, fmt.Errorf("%s: %w\n%s", s.load.name(), err, stderr.Bytes())
	}
	return s.load.result(out)
}
