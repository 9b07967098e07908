package codec

import (
	"bytes"
	"strconv"
)

// CSV as RFC 4180 has it and encoding/csv reads it, except that a quoted field
// keeps its line ends as they are. Every line that is no record is one error,
// and the scan goes on with the next line.

// csv reads a whole body.
func (d *decoder) csv(b []byte) {
	i := d.header(b)
	for i < len(b) {
		if n := lineEnd(b, i); n > 0 {
			i += n
			continue
		}
		if !d.admit() {
			return
		}
		if next := d.plainRow(b, i); next > 0 {
			i = next
		} else if i = d.row(b, i); d.over != nil {
			return
		}
	}
}

// lineEnd returns the length of the line end at b[i], or 0 if there is none. A
// carriage return alone is one at the end of the body only.
func lineEnd(b []byte, i int) int {
	switch {
	case b[i] == '\n':
		return 1
	case b[i] != '\r':
		return 0
	case i+1 == len(b):
		return 1
	case b[i+1] == '\n':
		return 2
	}
	return 0
}

// header finds out the order of the columns, and returns where the records
// begin. The first line is a header if it has all three names among its
// fields; no record could have. Columns with other names are skipped, as other
// members of JSON are; of two with one name the last one counts, as there.
func (d *decoder) header(b []byte) int {
	i := 0
	for i < len(b) {
		n := lineEnd(b, i)
		if n == 0 {
			break
		}
		i += n
	}
	start := i
	order := d.b.order[:0]
	var found [columns]bool
	var last [columns]int // where in order the column is
	for more := true; more; {
		var f field
		if f, i, more = d.field(b, i); f.kind == absent {
			found = [columns]bool{}
			break
		}
		column := none
		for c, name := range names {
			if string(f.text) == name {
				if found[c] {
					order[last[c]] = none
				}
				column = c
				found[c], last[c] = true, len(order)
			}
		}
		order = append(order, uint8(column))
	}
	if found != [columns]bool{true, true, true} {
		order, i = append(order[:0], timestamp, path, userAgent), start
	}
	d.b.order = order
	return i
}

// row reads the record at b[i] and returns the index of the next line.
func (d *decoder) row(b []byte, i int) int {
	start, n := i, 0
	d.fields, d.b.scratch, d.b.extra = [columns]field{}, d.b.scratch[:0], d.b.extra[:0]
	for more := true; more; n++ {
		var f field
		if f, i, more = d.field(b, i); f.kind == absent {
			return d.noRow(b, start, i)
		}
		if n < len(d.b.order) {
			if column := d.b.order[n]; column < none {
				d.fields[column] = f
			}
		}
	}
	end := i
	if end > start && b[end-1] == '\n' {
		end--
	}
	if end > start && b[end-1] == '\r' {
		end--
	}
	switch {
	case !d.fits(end - start):
	case n != len(d.b.order):
		reason := "has the wrong number of fields"
		if d.naming() {
			reason = "has " + strconv.Itoa(n) + " fields instead of " + strconv.Itoa(len(d.b.order))
		}
		d.report("record", reason)
	default:
		d.put()
	}
	return i
}

// noRow reports that the record which begins at start is not CSV at b[i], and
// returns the index of the next line.
func (d *decoder) noRow(b []byte, start, i int) int {
	next := len(b)
	if n := bytes.IndexByte(b[i:], '\n'); n >= 0 {
		next = i + n + 1
	}
	switch {
	case !d.fits(i - start):
	case i == len(b):
		d.report("record", "is not CSV: a quoted field is not closed")
	default:
		d.report("record", "is not CSV: a quote where there may be none; double it within a quoted field")
	}
	return next
}
