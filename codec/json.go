package codec

import (
	"bytes"
	"fmt"
	"unicode/utf8"
)

// JSON: arrays, objects one after another, and lines. Each is a loop around
// the same two steps: take all records that are canonical (canonical.go), then
// one that is not (object). What is between records is read here.

// json reads a body that begins at b[i], which is not white space.
func (d *decoder) json(b []byte, i int) {
	if b[i] == '[' {
		d.array(b, i+1)
	} else {
		d.objects(b, i)
	}
}

// array reads what follows the opening bracket.
func (d *decoder) array(b []byte, i int) {
	i = skipSpace(b, i)
	if i < len(b) && b[i] == ']' {
		i++
	} else if i = d.elements(b, i); i < 0 {
		return
	}
	if i = skipSpace(b, i); i < len(b) {
		d.syntax(b, i, "after the array")
	}
}

// elements reads records and commas up to the closing bracket, and returns the
// index after it; or a negative one if the scan has ended.
func (d *decoder) elements(b []byte, i int) int {
	for {
		var whole bool
		if i, whole = d.canonical(b, i, inArray); !whole {
			if i = d.value(b, skipSpace(b, i)); i < 0 {
				return i
			}
		}
		i = skipSpace(b, i)
		switch {
		case i < len(b) && b[i] == ',':
			i = skipSpace(b, i+1)
		case i < len(b) && b[i] == ']':
			return i + 1
		default:
			return d.syntax(b, i, "where a comma or the end of the array was expected")
		}
	}
}

// objects reads records with nothing or white space between them.
func (d *decoder) objects(b []byte, i int) {
	for i < len(b) {
		var whole bool
		if i, whole = d.canonical(b, i, inObjects); !whole {
			if i = skipSpace(b, i); i == len(b) {
				return
			}
			if i = d.value(b, i); i < 0 {
				return
			}
		}
		i = skipSpace(b, i)
	}
}

// lines reads one record a line. A line that is not JSON is one error, and the
// scan goes on with the next.
func (d *decoder) lines(b []byte) {
	for i := 0; i < len(b); {
		if i, _ = d.canonical(b, i, inLines); i == len(b) {
			return
		}
		end := bytes.IndexByte(b[i:], '\n')
		next := i + end + 1
		if end < 0 {
			next, end = len(b), len(b)-i
		}
		if d.oneLine(b[:i+end], i); d.over != nil {
			return
		}
		i = next
	}
}

// oneLine reads the line from b[i] to the end of b, without its newline.
func (d *decoder) oneLine(b []byte, i int) {
	b = bytes.TrimRight(b, " \t\r")
	if i = skipSpace(b, i); i >= len(b) {
		return
	}
	d.line = b[i:]
	if !d.admit() || !d.fits(len(b)-i) {
		return
	}
	if b[i] == '{' {
		if i = d.members(b, i); i == len(b) {
			d.put()
		} else if i >= 0 {
			d.syntax(b, skipSpace(b, i), "after the record")
		}
	} else if i = d.skip(b, i); i == len(b) {
		d.noObject()
	} else if i >= 0 {
		d.syntax(b, skipSpace(b, i), "after the value")
	}
}

func (d *decoder) noObject() { d.report("record", "is not a JSON object") }

// value reads one record, which begins at b[i] and may be any JSON value, and
// returns the index after it; or a negative one if the scan has ended.
func (d *decoder) value(b []byte, i int) int {
	if !d.admit() {
		return -1
	}
	start := i
	if i == len(b) || b[i] != '{' {
		if i = d.skip(b, i); i >= 0 && d.fits(i-start) {
			d.noObject()
		}
	} else if i = d.members(b, i); i >= 0 && d.fits(i-start) {
		d.put()
	}
	if d.over != nil {
		return -1
	}
	return i
}

// members reads the object at b[i] into d.fields, and returns the index after
// it; or, if it is not JSON, reports that and returns a negative index.
func (d *decoder) members(b []byte, i int) int {
	d.fields, d.b.scratch, d.b.extra = [columns]field{}, d.b.scratch[:0], d.b.extra[:0]
	d.b.scan.deep = false
	others := 0 // members that are not ours, so far
	i = skipSpace(b, i+1)
	if i < len(b) && b[i] == '}' {
		return i + 1
	}
	for {
		column, text := knownMember(b, i)
		if column == none {
			if n := d.asBefore(b, i, others); n > 0 {
				if d.rules.keep {
					d.keep(b[i:i+n], false)
				}
				i += n
				others++
				goto after
			}
			start := i
			d.b.scan.loose = false
			if i, column = d.name(b, i); i < 0 {
				return i
			}
			if column == none || i == len(b) || b[i] != '"' {
				if i = d.skip(b, i); i < 0 {
					return i
				}
				if column != none {
					d.fields[column] = field{kind: notString}
				} else {
					if d.rules.keep {
						d.keep(b[start:i], d.b.scan.loose)
					}
					d.remember(b, start, i, others)
					others++
				}
				goto after
			}
			text = i + 1
		}
		if column == timestamp && d.b.clock.quoted(b[text:]) {
			d.fields[timestamp] = field{b[text : text+20], present}
			i = text + 21
		} else if end := ordinary(b, text); end < len(b) && b[end] == '"' {
			d.fields[column] = field{b[text:end], present}
			i = end + 1
		} else {
			d.fields[column].kind = present
			if d.fields[column].text, i = d.text(b, text, min(end, len(b))); i < 0 {
				return i
			}
		}
	after:
		if i+1 < len(b) && b[i] == ',' && b[i+1] == '"' { // as most are
			i++
			continue
		}
		i = skipSpace(b, i)
		switch {
		case i < len(b) && b[i] == ',':
			i = skipSpace(b, i+1)
		case i < len(b) && b[i] == '}':
			return i + 1
		default:
			return d.syntax(b, i, "where a comma or the end of the object was expected")
		}
	}
}

// Members that are skipped are mostly the same in record after record: what a
// shipper adds about its host, say. So each is remembered by its place among
// the skipped, as the bytes from its name to the comma or brace after it: the
// same bytes at the start of a member need not be read again.

// asBefore returns the length of the member at b[i], without what ends it, if
// it is the same as the last one in that place; or else 0.
func (d *decoder) asBefore(b []byte, i, place int) int {
	if place >= d.known {
		return 0
	}
	last := d.b.skipped[place]
	if n := last.end - last.start; n <= len(b)-i && string(b[i:i+n]) == string(b[last.start:last.end]) {
		return n - 1
	}
	return 0
}

// remember keeps the member b[start:end] for asBefore. Places are filled one
// after another: what is in those that are not yet is of another body.
func (d *decoder) remember(b []byte, start, end, place int) {
	if place <= d.known && place < len(d.b.skipped) && end < len(b) && (b[end] == ',' || b[end] == '}') && !d.b.scan.deep && !(d.rules.keep && d.b.scan.loose) {
		d.b.skipped[place] = span{start, end + 1}
		d.known = max(d.known, place+1)
	}
}

// knownMember recognises one of our members at b[i] whose value is a string, with
// nothing or one blank between it and the colon. It returns its column and
// where its text begins.
func knownMember(b []byte, i int) (column, text int) {
	if i > len(b)-16 {
		return none, 0
	}
	switch head, tail := load(b, i), load(b, i+5); {
	case head == pathColon:
		return path, i + 8
	case head == quoteTimesta && tail == stampColon:
		return timestamp, i + 13
	case head == quoteUserAge && tail == agentColon:
		return userAgent, i + 13
	case head == pathBlank && b[i+8] == '"':
		return path, i + 9
	case head == quoteTimesta && tail == stampBlank && b[i+13] == '"':
		return timestamp, i + 14
	case head == quoteUserAge && tail == agentBlank && b[i+13] == '"':
		return userAgent, i + 14
	}
	return none, 0
}

// name reads a member's name and the colon, and returns where its value begins
// and the column that it names, or none.
func (d *decoder) name(b []byte, i int) (value, column int) {
	if i == len(b) || b[i] != '"' {
		return d.syntax(b, i, "where a member's name was expected"), none
	}
	column = none
	end := shortText(b, i+1)
	text := b[i+1 : max(end-1, i+1)]
	if end == 0 {
		if text, end = d.text(b, i+1, i+1); end < 0 {
			return end, none
		}
		d.b.scan.loose = d.b.scan.loose || d.rules.keep && !utf8.Valid(b[i:end])
	}
	switch len(text) {
	case len("path"):
		if string(text) == names[path] {
			column = path
		}
	case len("timestamp"):
		if string(text) == names[timestamp] {
			column = timestamp
		} else if string(text) == names[userAgent] {
			column = userAgent
		}
	}
	if i = d.b.scan.space(b, end); i == len(b) || b[i] != ':' {
		return d.syntax(b, i, "where a colon was expected"), none
	}
	return d.b.scan.space(b, i+1), column
}

// keep adds a member that is not one of the three to the extra members of the
// record. It is written anew where it is loose: see scanner.
func (d *decoder) keep(member []byte, loose bool) {
	d.b.extra = append(d.b.extra, ',')
	if loose {
		d.b.extra = compact(d.b.extra, member)
	} else {
		d.b.extra = append(d.b.extra, member...)
	}
}

// skipSpace returns the index of the first byte from b[i] on that is not JSON
// white space.
func skipSpace(b []byte, i int) int {
	for i < len(b) && b[i] <= ' ' && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

// syntax reports, as an error of the record that is being read, that b is not
// JSON at b[i]. It returns a negative index.
func (d *decoder) syntax(b []byte, i int, where string) int {
	reason := "is not JSON"
	if d.naming() {
		at := "the end"
		if i < len(b) {
			at = fmt.Sprintf("%q", b[i:i+1])
		}
		reason = fmt.Sprintf("is not JSON: %s %s", at, where)
	}
	d.report("record", reason)
	return -1
}
