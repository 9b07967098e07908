package main

import (
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"

	"logforge/cmd/server/audit"
	"logforge/codec"
	"logforge/sink/archive"
)

// auditOptions are the flags of verify and export.
type auditOptions struct {
	archived       bool
	from, to       string
	format, output string
}

// auditFlags are their names: no other command has them.
var auditFlags = []string{"archive", "from", "to", "format", "o"}

func (o *auditOptions) bind(fs *flag.FlagSet) {
	fs.BoolVar(&o.archived, "archive", false, "verify: what the destinations of the archive have as well")
	fs.StringVar(&o.from, "from", "", "verify, export: first `hour` of UTC, such as 2026-02-09T00; the earliest there is")
	fs.StringVar(&o.to, "to", "", "verify, export: last `hour` of UTC, included; the latest there is")
	fs.StringVar(&o.format, "format", "ndjson", "export: ndjson, csv or parquet")
	fs.StringVar(&o.output, "o", "-", "export: `file` to write; - is the standard output")
}

// hours returns the range that -from and -to say.
func (o *auditOptions) hours() (first, last codec.Hour, err error) {
	first, last = archive.First, archive.Last
	for _, w := range []struct {
		flag, text string
		hour       *codec.Hour
	}{{"from", o.from, &first}, {"to", o.to, &last}} {
		if w.text == "" {
			continue
		}
		if *w.hour, err = codec.ParseHour(w.text); err != nil {
			return 0, 0, fmt.Errorf("-%s: %q is not an hour: write it as 2026-02-09T15", w.flag, w.text)
		}
	}
	if first > last {
		return 0, 0, fmt.Errorf("-from %s is after -to %s", o.from, o.to)
	}
	return first, last, nil
}

// verify checks that what is stored is whole.
func verify(p *program) error {
	first, last, err := p.audit.hours()
	if err != nil {
		return err
	}
	ctx, stop := untilSignal()
	defer stop()
	return audit.Verify(ctx, p.cfg, first, last, p.audit.archived, p.log.Logger, p.stdout)
}

// export writes the records of some hours to one file.
func export(p *program) error {
	first, last, err := p.audit.hours()
	if err != nil {
		return err
	}
	if !slices.Contains(audit.Formats, p.audit.format) {
		return fmt.Errorf("-format: %q is not one of %s", p.audit.format, strings.Join(audit.Formats, ", "))
	}
	if p.audit.output == "" {
		return errors.New("-o: the file has no name")
	}
	ctx, stop := untilSignal()
	defer stop()
	records, err := audit.Export(ctx, p.cfg, first, last, p.audit.format, p.audit.output, p.stdout, p.log.Logger)
	if err != nil {
		return err
	}
	p.log.Info("exported", "records", records, "file", p.audit.output)
	return nil
}
