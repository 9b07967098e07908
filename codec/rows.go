package codec

import (
	"bytes"
	"strconv"
)

// Rows whose columns have names: W3C extended log files (IIS, CloudFront), and
// CSV with a header line as shippers write it.

// extended is what the directives of a W3C extended log file have said.
type extended struct {
	names   []byte // of all columns, copied
	columns []extendedColumn
	date    [10]byte // of the #Date line
	known   bool     // there has been a #Fields line
}

type extendedColumn struct {
	start, end int // of its name, in names
	part       part
}

// part is the part of a log line that a column holds.
type part uint8

const (
	otherPart part = iota // an extra member of the column's name
	datePart
	timePart
	methodPart
	targetPart
	queryPart
	agentPart
	addressPart
	userPart
	protocolPart
	statusPart
	bytesPart
	refererPart
	instantPart // date and time together
	parts
)

var extendedNames = map[string]part{
	"date": datePart, "time": timePart, "cs-method": methodPart, "cs-uri-stem": targetPart, "cs-uri": targetPart, "cs-uri-query": queryPart,
	"cs(User-Agent)": agentPart, "c-ip": addressPart, "cs-username": userPart, "cs-version": protocolPart,
	"cs-protocol-version": protocolPart, "sc-status": statusPart, "sc-bytes": bytesPart, "cs(Referer)": refererPart,
}

// directive reads a line that begins with #. It reports whether it is one that
// W3C extended log files have.
func (d *decoder) directive(s []byte) bool {
	x := &d.b.extended
	name, rest, _ := bytes.Cut(s[1:], []byte(":"))
	rest = bytes.TrimSpace(rest)
	switch string(name) {
	case "Version", "Software", "Start-Date", "End-Date", "Remark":
	case "Date":
		if len(rest) >= len(x.date) {
			copy(x.date[:], rest)
		}
	case "Fields":
		x.known, x.names, x.columns = true, x.names[:0], x.columns[:0]
		for f := range bytes.FieldsSeq(rest) {
			if len(x.columns) > maxColumns {
				break // no line will have as many
			}
			c := extendedColumn{start: len(x.names), end: len(x.names) + len(f), part: extendedNames[string(f)]}
			if c.part == otherPart {
				c.part = d.partOf(f)
			}
			x.names = append(x.names, f...)
			x.columns = append(x.columns, c)
		}
	default:
		return false
	}
	return true
}

// partOf returns the part that a column is by the lists of names.
func (d *decoder) partOf(name []byte) part {
	u, _ := d.rules.table.find(&d.b.recent.buf, nil, name)
	switch {
	case u == nil:
	case u.rank[timestamp] > 0:
		return instantPart
	case u.rank[path] > 0:
		return targetPart
	case u.rank[userAgent] > 0:
		return agentPart
	}
	return otherPart
}

// extendedRow adds the record of a line of a W3C extended log file.
func (d *decoder) extendedRow(s []byte) {
	x := &d.b.extended
	if !x.known {
		d.report("record", noFieldsLine)
		return
	}
	separator := byte(' ')
	if bytes.IndexByte(s, '\t') >= 0 {
		separator = '\t'
	}
	d.begin()
	var of [parts][]byte
	n := 0
	for rest, more := s, true; more; n++ {
		var v []byte
		if i := bytes.IndexByte(rest, separator); i >= 0 {
			v, rest = rest[:i], rest[i+1:]
		} else {
			v, more = rest, false
		}
		if n >= len(x.columns) {
			continue
		}
		c := x.columns[n]
		if v = unlessDash(v); v == nil {
			continue
		}
		if c.part != otherPart && fitsPart(c.part, v) {
			of[c.part] = v
		} else if d.rules.keep {
			d.keepText(x.names[c.start:c.end], v)
		}
	}
	if n != len(x.columns) {
		d.report("record", "has "+strconv.Itoa(n)+" fields instead of the "+strconv.Itoa(len(x.columns))+" of the #Fields line")
		return
	}
	l := &d.b.log
	*l = logLine{
		remoteAddr: of[addressPart], user: of[userPart], method: of[methodPart], protocol: of[protocolPart], referer: of[refererPart],
		target: of[targetPart], query: of[queryPart], noRequest: true, noEscapes: true,
		status: of[statusPart], bytes: of[bytesPart],
		agent: of[agentPart], agentIsEncoded: true, plusSpace: separator == ' ' && !bytes.Contains(of[agentPart], []byte("%20")),
	}
	if of[targetPart] == nil && of[agentPart] == nil {
		d.report("record", "has neither a path nor a user agent")
		return
	}
	others := len(d.b.extra)
	d.fillLine(l)
	switch date := of[datePart]; {
	case of[instantPart] != nil:
		d.readTime(of[instantPart])
	case of[timePart] != nil:
		if date == nil {
			date = x.date[:]
		}
		d.readTime(append(d.join(date, 'T', of[timePart]), 'Z')) // the form knows no other zone
	}
	d.keepLine(l)
	// The members that all lines have come first.
	if others > 0 && others < len(d.b.extra) {
		rotate(d.b.extra, others)
	}
	d.put()
}

// fitsPart reports whether v can be that part. A status and a number of bytes are digits; what
// is none of them is kept as the text that it is, by the name of its column.
func fitsPart(p part, v []byte) bool {
	switch p {
	case statusPart:
		return len(v) <= maxStatus && digits(v, 0) == len(v)
	case bytesPart:
		return len(v) <= maxBytes && digits(v, 0) == len(v)
	}
	return true
}

// rotate moves the first n bytes of b to its end.
func rotate(b []byte, n int) {
	reverse(b[:n])
	reverse(b[n:])
	reverse(b)
}

func reverse(b []byte) {
	for i, j := 0, len(b)-1; i < j; i, j = i+1, j-1 {
		b[i], b[j] = b[j], b[i]
	}
}

// keepText adds an extra member whose value is a string, unless its name is one
// of the three.
func (d *decoder) keepText(name, value []byte) {
	for _, n := range names {
		if string(name) == n {
			return
		}
	}
	x := AppendText(append(d.b.extra, `,"`...), name)
	x = AppendText(append(x, `":"`...), value)
	d.b.extra = append(x, '"')
}

// shipperCSV reads CSV as shippers write it: with a header line in which the
// names may be any of the lists, or without one as the strict form is.
func (d *decoder) shipperCSV(b []byte) {
	i := d.shipperHeader(b)
	for i < len(b) && d.over == nil {
		if n := lineEnd(b, i); n > 0 {
			i += n
			continue
		}
		if !d.admit() {
			return
		}
		i = d.shipperRow(b, i)
	}
}

// maxColumns is how many columns a body of a shipper may have. Each takes memory.
const maxColumns = 1000

// column is a column of a CSV body.
type column struct {
	name    []byte // canonical text
	use     *use
	exactly bool
}

// shipperHeader finds out what the columns are and returns where the records
// begin. The first line is a header if it names a path, a user agent or a line,
// and no field of it can be read as a time.
func (d *decoder) shipperHeader(b []byte) int {
	i := skipSpace(b, 0)
	start := i
	d.begin()
	list := d.b.columns[:0]
	named, timed := 0, false
	if !d.rules.shipper {
		named -= 2 // all three are needed
	}
	for more := true; more; {
		var f field
		if f, i, more = d.field(b, i); f.kind == absent {
			named = -columns
			break
		}
		c := column{name: f.text}
		if c.use, c.exactly = d.rules.table.find(&d.b.recent.buf, nil, bytes.TrimSpace(f.text)); c.use != nil {
			switch {
			case c.use.rank[path] > 0 || c.use.rank[userAgent] > 0 || c.use.rank[lineUse] > 0, !d.rules.shipper:
				named++
			}
		}
		if _, bad := d.moment(f.text); bad == 0 {
			timed = true
		}
		if list = append(list, c); len(list) > maxColumns {
			named = -columns
			break
		}
	}
	d.b.headed = named > 0 && !timed
	if !d.b.headed {
		list = list[:0]
		for k, n := range names {
			c := column{name: nameBytes[k]}
			c.use, c.exactly = d.rules.table.exact[n], true
			list = append(list, c)
		}
		i = start
	}
	d.b.columns = list
	// The names are in the scratch memory, which each record uses again.
	d.b.names = d.b.names[:0]
	for k := range list {
		at := len(d.b.names)
		d.b.names = append(d.b.names, list[k].name...)
		list[k].name = d.b.names[at:len(d.b.names):len(d.b.names)]
	}
	return i
}

var nameBytes = [columns][]byte{[]byte(names[timestamp]), []byte(names[path]), []byte(names[userAgent])}

// shipperRow reads the record at b[i] and returns the index of the next line.
func (d *decoder) shipperRow(b []byte, i int) int {
	start, n := i, 0
	d.begin()
	var best [uses]int
	var of [uses][]byte
	list := d.b.columns
	for more := true; more; n++ {
		var f field
		if f, i, more = d.field(b, i); f.kind == absent {
			d.line = bytes.TrimRight(b[start:lineEndAfter(b, i)], "\r\n")
			return d.noRow(b, start, i)
		}
		if n >= len(list) {
			continue
		}
		c := &list[n]
		taken, from := false, len(d.b.extra)
		if c.use != nil && !blank(f.text) {
			for u, rank := range c.use.rank {
				if r := 2*int(rank) + 1; rank > 0 && (best[u] == 0 || r <= best[u]) {
					best[u], of[u], taken = r, f.text, u < len(d.fields)
				}
			}
		}
		if most := d.limits.SentBytes; most > 0 && i-start > most {
			continue // it will be set aside
		}
		if !taken && d.rules.keep && !(c.use != nil && c.use.reserved && c.exactly) {
			x := append(append(d.b.extra, `,"`...), c.name...)
			x = append(append(x, `":"`...), f.text...)
			d.b.extra = append(x, '"')
		}
		if best[lineUse] > 0 && of[lineUse] != nil && len(f.text) > 0 && len(of[lineUse]) > 0 && &of[lineUse][0] == &f.text[0] {
			d.lineMember = span{from, len(d.b.extra)}
		}
	}
	d.line = bytes.TrimRight(b[start:i], "\r\n")
	switch {
	case !d.fits(len(d.line)):
	case n != len(list):
		d.report("record", "has "+strconv.Itoa(n)+" fields instead of "+strconv.Itoa(len(list)))
	default:
		d.rowRecord(&best, &of)
	}
	return i
}

// lineEndAfter returns the index of the newline from b[i] on, or the length of b.
func lineEndAfter(b []byte, i int) int {
	if n := bytes.IndexByte(b[i:], '\n'); n >= 0 {
		return i + n
	}
	return len(b)
}

// rowRecord adds the record that has these values, in canonical text.
func (d *decoder) rowRecord(best *[uses]int, of *[uses][]byte) {
	if best[lineUse] > 0 && (best[path] == 0 || best[userAgent] == 0) {
		d.b.plain = Unescape(d.b.plain[:0], of[lineUse])
		if l := &d.b.log; d.rules.shipper && l.splitLine(d.b.plain, Auto) == "" {
			if m := d.lineMember; m.end <= len(d.b.extra) {
				d.b.extra = append(d.b.extra[:m.start], d.b.extra[m.end:]...)
			}
			d.fillLine(l)
			d.keepLine(l)
			d.put()
			return
		}
	}
	for c := range d.fields {
		if best[c] > 0 {
			d.fields[c] = field{of[c], present}
		}
	}
	if best[timestamp] > 0 && d.rules.shipper {
		d.readTime(of[timestamp])
	}
	if best[path] > 0 && d.rules.shipper {
		p := d.pathOf(of[path], false)
		if best[queryUse] > 0 && string(of[queryUse]) != "-" {
			p = d.join(p, '?', of[queryUse])
		}
		d.fields[path].text = p
	}
	d.put()
}
