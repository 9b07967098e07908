package audit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"slices"
	"text/tabwriter"

	"logforge/codec"
	"logforge/config"
	"logforge/sink/archive"
	"logforge/sink/hourly"
)

// ErrDamaged is returned by Verify when something is not as it should be.
var ErrDamaged = errors.New("damaged")

// verifier reads hour after hour.
type verifier struct {
	cfg     *config.Config
	dests   []archive.Reader
	parts   map[string]map[codec.Hour][]archive.Stored // by destination
	look    *hourly.Snapshot
	table   *tabwriter.Writer
	damages []string
	hours   int
	removed int // of them, those whose file is not there any more
	records int64
}

// Verify reads the hours from first to last: the files, their summaries, and,
// with archived, what the destinations have. It writes a table with a line an
// hour to out, and then what is damaged, each in a line. The error is ErrDamaged
// if anything is, or says why something could not be read.
func Verify(ctx context.Context, cfg *config.Config, first, last codec.Hour, archived bool, log *slog.Logger, out io.Writer) error {
	v := &verifier{cfg: cfg, parts: map[string]map[codec.Hour][]archive.Stored{}, table: tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)}
	all := map[codec.Hour]bool{}
	if archived {
		dests, err := archive.Readers(cfg.Archive, log)
		if err != nil {
			return err
		}
		if len(dests) == 0 {
			return errors.New("-archive: neither archive.s3.bucket nor archive.postgres.url is set")
		}
		v.dests = dests
		for _, d := range dests {
			defer d.Close()
			found, err := d.Parts(ctx, "", first, last)
			if err != nil {
				return fmt.Errorf("%s: %w", d.Name(), err)
			}
			byHour := map[codec.Hour][]archive.Stored{}
			for _, p := range found {
				byHour[p.Hour] = append(byHour[p.Hour], p)
				all[p.Hour] = true
			}
			v.parts[d.Name()] = byHour
		}
	}
	if err := v.again(); err != nil {
		return err
	}
	for _, h := range v.look.Hours() {
		if h >= first && h <= last {
			all[h] = true
		}
	}
	counted, err := summaryHours(cfg.Storage.AnalyticsDir)
	if err != nil {
		return err
	}
	for _, h := range counted {
		if h >= first && h <= last {
			all[h] = true // its file may have been removed
		}
	}
	hours := make([]codec.Hour, 0, len(all))
	for h := range all {
		hours = append(hours, h)
	}
	slices.Sort(hours)

	fmt.Fprint(v.table, "HOUR\tBYTES\tRECORDS\tSUMMARY")
	for _, d := range v.dests {
		fmt.Fprintf(v.table, "\t%s", d.Name())
	}
	fmt.Fprintln(v.table)
	for _, h := range hours {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := v.hour(ctx, h); err != nil {
			return fmt.Errorf("%s: %w", h, err)
		}
	}
	if err := v.table.Flush(); err != nil {
		return err
	}
	for _, d := range v.damages {
		fmt.Fprintln(out, "DAMAGED", d)
	}
	fmt.Fprintf(out, "%d hours, %d of them without a file, %d records in the files, %d damaged\n", v.hours, v.removed, v.records, len(v.damages))
	if len(v.damages) > 0 {
		return fmt.Errorf("%w: %s", ErrDamaged, v.damages[0])
	}
	return nil
}

// again looks at the directory anew.
func (v *verifier) again() (err error) {
	v.look, err = hourly.Look(v.cfg.Storage.LogsDir)
	return err
}

func (v *verifier) damage(h codec.Hour, format string, args ...any) {
	v.damages = append(v.damages, h.String()+": "+fmt.Sprintf(format, args...))
}

// hour verifies one hour and writes its line.
func (v *verifier) hour(ctx context.Context, h codec.Hour) error {
	v.hours++
	local := slices.Contains(v.look.Hours(), h)
	sum, sumErr := readSummary(v.cfg.Storage.AnalyticsDir, h)
	if sumErr != nil && !errors.Is(sumErr, fs.ErrNotExist) {
		v.damage(h, "summary: %v", sumErr)
	}
	var f *fileCheck
	if local {
		var err error
		if f, err = v.file(h, sum); err != nil {
			return err
		}
	}
	bytes, records, state := "-", "-", "none"
	if f == nil {
		v.removed++
	} else {
		bytes, records = fmt.Sprint(f.offset), fmt.Sprint(f.records)
		v.records += f.records
		for _, d := range f.damages {
			v.damage(h, "file: %s", d)
		}
	}
	switch {
	case sumErr != nil && !errors.Is(sumErr, fs.ErrNotExist):
		state = "damaged"
	case sum != nil && f == nil:
		state = fmt.Sprintf("counts %d, file removed", sum.Records)
	case sum != nil:
		var d string
		if state, d = f.compare(sum); d != "" {
			v.damage(h, "summary: %s", d)
		}
	}
	fmt.Fprintf(v.table, "%s\t%s\t%s\t%s", h, bytes, records, state)
	for _, d := range v.dests {
		before := len(v.damages)
		word, err := v.destination(ctx, d, h, f, sum)
		if err != nil {
			return fmt.Errorf("%s: %w", d.Name(), err)
		}
		if len(v.damages) > before {
			word = "damaged"
		}
		fmt.Fprintf(v.table, "\t%s", word)
	}
	fmt.Fprintln(v.table)
	return nil
}

// file reads an hour's file. What the destinations and the summary say of it is
// older than this reading: a file that has less is read again once, with what
// the journal says by then.
func (v *verifier) file(h codec.Hour, sum *summary) (*fileCheck, error) {
	for attempt := 0; ; attempt++ {
		f := newFileCheck(h, v.look, sum)
		for _, byHour := range v.parts {
			f.follow(byHour[h])
		}
		err := archive.EachLine(func() (io.ReadCloser, error) { return v.look.Open(h) }, f.line)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil // removed meanwhile
		}
		if errors.Is(err, hourly.ErrDamaged) {
			f.damages = append(f.damages, err.Error())
			return f, nil
		}
		if err != nil {
			return nil, err
		}
		if attempt == 1 || f.offset >= f.expected() && v.look.Generation(h) != 0 {
			return f, nil
		}
		if err := v.again(); err != nil {
			return nil, err
		}
	}
}

// destination verifies what a destination has of an hour, and returns it in a
// word or two. f is nil where there is no file, and sum where there is no summary.
func (v *verifier) destination(ctx context.Context, d archive.Reader, h codec.Hour, f *fileCheck, sum *summary) (string, error) {
	parts := v.parts[d.Name()][h]
	type stream struct {
		node       string
		generation uint64
	}
	streams := map[stream][]archive.Stored{}
	for _, p := range parts {
		s := stream{p.Node, p.Generation}
		if !slices.ContainsFunc(streams[s], func(q archive.Stored) bool { return q.Part == p.Part }) {
			streams[s] = append(streams[s], p)
		}
	}
	stored, ours := int64(0), int64(0) // bytes of the file's stream; records of this node
	for s, parts := range streams {
		slices.SortFunc(parts, func(a, b archive.Stored) int { return cmp.Compare(a.From, b.From) })
		at := int64(0)
		for _, p := range parts {
			switch {
			case p.From > at:
				v.damage(h, "%s: bytes %d to %d of node %s, generation %d are missing", d.Name(), at, p.From, s.node, s.generation)
			case p.From < at:
				v.damage(h, "%s: %s overlaps with the part before it", d.Name(), p.Object())
			}
			at = max(at, p.To)
			n, err := v.part(ctx, d, p, f)
			if err != nil {
				return "", err
			}
			if s.node == v.look.Node() {
				ours += n
			}
		}
		if f != nil && s.node == v.look.Node() && s.generation == f.generation {
			stored = at
		}
	}
	if err := v.count(ctx, d, h, parts); err != nil {
		return "", err
	}
	word := fmt.Sprintf("%d parts", len(parts))
	if len(parts) == 1 {
		word = "1 part"
	}
	if f == nil && sum != nil && ours < sum.Records {
		// Retention removes no such hour. A person may have, or what the
		// destination had is gone by a rule of its own: neither is damage.
		word += fmt.Sprintf(", %d of %d records", ours, sum.Records)
	}
	if f != nil && f.offset > stored {
		word += fmt.Sprintf(", %d bytes pending", f.offset-stored)
	}
	return word, nil
}

// part verifies one part: what it says of itself, what is in it, and the lines
// of the file that it was made of. It returns how many records it says it has.
func (v *verifier) part(ctx context.Context, d archive.Reader, p archive.Stored, f *fileCheck) (records int64, err error) {
	says, err := d.Digest(ctx, p)
	if err != nil {
		return 0, err
	}
	if says.SHA256 == "" {
		v.damage(p.Hour, "%s: %s does not say what it holds: it was not stored by this program", d.Name(), p.Object())
	}
	has, err := digestOf(func() (io.ReadCloser, error) { return d.Lines(ctx, p) }, p.Part)
	switch {
	case errors.Is(err, archive.ErrNoLines):
	case err != nil:
		v.damage(p.Hour, "%s: %s cannot be read: %v", d.Name(), p.Object(), err)
		return says.Records, ctx.Err()
	case says.SHA256 != "" && has != says:
		v.damage(p.Hour, "%s: %s holds %d records with SHA-256 %s, and says %d with %s", d.Name(), p.Object(), has.Records, has.SHA256, says.Records, says.SHA256)
	}
	if f == nil || p.Node != v.look.Node() || p.Generation != f.generation {
		return says.Records, nil
	}
	switch sum, ok := f.sums[p.Part]; {
	case !ok:
		v.damage(p.Hour, "%s: %s goes to byte %d, and the file ends at byte %d", d.Name(), p.Object(), p.To, f.offset)
	case says.SHA256 != "" && sum != says.SHA256:
		v.damage(p.Hour, "%s: %s is not what bytes %d to %d of the file are", d.Name(), p.Object(), p.From, p.To)
	}
	return says.Records, nil
}

// count compares the records that a destination has with those of its parts.
func (v *verifier) count(ctx context.Context, d archive.Reader, h codec.Hour, parts []archive.Stored) error {
	for attempt := 0; ; attempt++ {
		n, err := d.Records(ctx, h)
		if err != nil || n < 0 {
			return err
		}
		want := int64(0)
		for _, p := range parts {
			want += p.Records
		}
		if n == want {
			return nil
		}
		if attempt == 3 {
			v.damage(h, "%s: has %d records, and its parts have %d", d.Name(), n, want)
			return nil
		}
		if parts, err = d.Parts(ctx, "", h, h); err != nil { // parts were added meanwhile
			return err
		}
	}
}
