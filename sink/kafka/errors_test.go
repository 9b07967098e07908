package kafka

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"logforge/sink"
)

var update = flag.Bool("update", false, "write the documents that tests hold")

// Ensure that every error code that a broker can answer with has its place in
// the table, once, and that what a caller is told follows from it.
func TestErrors_EveryCodeOfKafkaIsInTheTableOnce(t *testing.T) {
	rows := map[int16]int{}
	for _, g := range errorGroups {
		for _, e := range g.errs {
			rows[e.Code]++
		}
	}
	for code := int16(-1); code < 1000; code++ {
		err := kerr.ErrorForCode(code)
		if code == 0 || code != -1 && errors.Is(err, kerr.UnknownServerError) {
			if rows[code] != 0 {
				t.Errorf("code %d is in the table, but not in kerr", code)
			}
			continue
		}
		if rows[code] != 1 {
			t.Errorf("%v (%d) is in the table %d times", err, code, rows[code])
			continue
		}
		group, _ := groupOfError(err)
		told := classified(fmt.Errorf("produce: %w", err))
		if !errors.Is(told, err) {
			t.Errorf("%v is lost in %v", err, told)
		}
		unavailable, refused := errors.Is(told, sink.ErrUnavailable), errors.Is(told, sink.ErrRefused)
		if unavailable != (group.class == passing) || refused != (group.class == refusing) {
			t.Errorf("%v (%v): unavailable %v, refused %v", err, group.class, unavailable, refused)
		}
		if refused && !strings.Contains(told.Error(), group.remedy) {
			t.Errorf("%v does not name the remedy", told)
		}
		if kerr.IsRetriable(err) && group.class == defect {
			t.Errorf("%v passes by itself, says the client library, and is called a defect", err)
		}
	}
}

func TestErrors_WhatIsNoCodeOfKafkaIsUnavailable(t *testing.T) {
	for _, err := range []error{kgo.ErrRecordTimeout, kgo.ErrRecordRetries, &net.OpError{Op: "dial", Err: errors.New("refused")}, kgo.ErrMaxBuffered} {
		if told := classified(err); !errors.Is(told, sink.ErrUnavailable) || !errors.Is(told, err) {
			t.Errorf("%v: %v", err, told)
		}
	}
	if told := classified(kgo.ErrClientClosed); !errors.Is(told, sink.ErrClosed) || !errors.Is(told, sink.ErrUnavailable) {
		t.Error(told)
	}
}

// Ensure that docs/errors.md has the table as it is here: go test -update writes it.
func TestErrors_TheDocumentHasTheTable(t *testing.T) {
	const begin, end = "<!-- kafka errors, generated: begin -->\n", "<!-- kafka errors, generated: end -->\n"
	var table bytes.Buffer
	table.WriteString("| answer | `/ready` says | codes |\n|---|---|---|\n")
	answers := map[errorClass]string{
		passing:  "503 `unavailable`, Retry-After: passes by itself",
		refusing: "503 `refused`, Retry-After: until somebody acts",
		defect:   "500: a defect",
	}
	for _, g := range errorGroups {
		var names []string
		for _, e := range g.errs {
			names = append(names, "`"+e.Message+"`")
		}
		fmt.Fprintf(&table, "| %s | %s | %s |\n", answers[g.class], g.remedy, strings.Join(names, ", "))
	}
	name := filepath.Join("..", "..", "docs", "errors.md")
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), begin)
	_, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatalf("%s lacks the lines %q and %q", name, begin, end)
	}
	want := before + begin + table.String() + end + after
	if *update {
		if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(text) != want {
		t.Errorf("%s is not what errors.go says: go test ./sink/kafka -run TestErrors -update", name)
	}
}
