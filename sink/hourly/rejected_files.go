package hourly

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"io/fs"
	"regexp"
	"slices"
	"strconv"
	"time"

	"logforge/codec"
	"logforge/sink/durable"
)

// The files of rejected records: their names, and what is found when they are
// opened again.

// rejectedPart is one file.
type rejectedPart struct {
	hour  codec.Hour
	part  int
	bytes int64
}

func (p rejectedPart) path() string {
	name := RejectedDir + p.hour.Time().Format("/"+dayLayout+"/15")
	if p.part > 0 {
		name += "." + strconv.Itoa(p.part)
	}
	return name + ".ndjson"
}

var rejectedName = regexp.MustCompile(`^(\d\d)(?:\.([1-9]\d{0,5}))?\.ndjson$`)

// parseRejected is the inverse of path.
func parseRejected(day, name string) (p rejectedPart, ok bool) {
	m := rejectedName.FindStringSubmatch(name)
	if m == nil {
		return p, false
	}
	t, err := time.Parse(dayLayout+"T15", day+"T"+m[1])
	if err != nil {
		return p, false
	}
	p.hour = codec.HourOf(t)
	if m[2] != "" {
		p.part, _ = strconv.Atoi(m[2]) // at most six digits
	}
	return p, true
}

func (p rejectedPart) compare(q rejectedPart) int {
	return cmp.Or(cmp.Compare(p.hour, q.hour), cmp.Compare(p.part, q.part))
}

// scan lists the files that are there.
func (r *Rejected) scan() error {
	r.parts, r.total, r.known = nil, 0, false
	days, err := r.logs.ReadDir(RejectedDir)
	if errors.Is(err, fs.ErrNotExist) {
		r.known = true
		return nil
	}
	if err != nil {
		return err
	}
	r.known = true
	for _, day := range days {
		if !day.IsDir() {
			continue
		}
		files, err := r.logs.ReadDir(RejectedDir + "/" + day.Name())
		if err != nil {
			r.log.Warn("a day of rejected records cannot be read: its files are not counted", "day", day.Name(), "err", err)
			continue
		}
		for _, file := range files {
			p, ok := parseRejected(day.Name(), file.Name())
			if !ok {
				continue
			}
			info, err := file.Info()
			if err != nil || !info.Mode().IsRegular() {
				continue
			}
			p.bytes = info.Size()
			r.total += p.bytes
			r.parts = append(r.parts, p)
		}
	}
	slices.SortFunc(r.parts, rejectedPart.compare)
	return nil
}

// cutTorn cuts the file back to its last whole line and returns its length.
func cutTorn(file durable.File) (int64, error) {
	state, err := file.Stat()
	if err != nil {
		return 0, err
	}
	end := state.Size
	buf := make([]byte, 64<<10)
	for end > 0 {
		n := min(end, int64(len(buf)))
		if _, err := io.ReadFull(durable.Reader(file, end-n), buf[:n]); err != nil {
			return 0, err
		}
		if i := bytes.LastIndexByte(buf[:n], '\n'); i >= 0 {
			end += int64(i+1) - n
			break
		}
		end -= n
	}
	if end == state.Size {
		return end, nil
	}
	return end, file.Truncate(end)
}
