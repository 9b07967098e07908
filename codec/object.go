package codec

import "bytes"

// A record as a shipper sends it: a JSON object in which the values have other
// names, are within other objects, or are in an access log line that is the
// value of a member.

// object is a JSON object that has been read: where its values are, and its
// members. It is used again for the next one.
type object struct {
	src     []byte
	at      int                   // where it begins in src
	first   [uses]value           // the best of each use; of line, nothing
	lines   [4*maxNames + 4]value // of lineUse, by rank
	has     [3]uint64             // a bit for each of lines: it is there
	list    value                 // a list of records in a wrapper
	members []member              // at the top, unless they are reserved; only if they are kept
	// other notes which columns have a value of another type than they can have.
	other [columns]bool
	// partial is that of the member being read.
	partial bool
}

// value is a value that a record may use.
type value struct {
	rank       int // 0: there is none; the lowest counts
	start, end int // in src; of a string, what is between the quotes
	kind       byte
	canonical  bool // a string that is canonical text unchanged
	member     int  // the one that it is in; -1 for none
	use        *use
}

// The kinds of value, by the first byte.
const (
	textKind   = '"'
	numberKind = '0'
	objectKind = '{'
)

// member is a member, or several one after another, with nothing but commas in
// between.
type member struct {
	start, end int
	loose      bool // see scanner
	partial    bool // there is more in it than one value that may be used
	used       bool // its whole value went into one of the three
	joins      bool // others may be added behind it
}

func (o *object) reset(src []byte) {
	o.src = src
	o.first = [uses]value{}
	o.has = [3]uint64{}
	o.list = value{}
	o.members = o.members[:0]
	o.other = [columns]bool{}
}

// read reads the object at b[i] and returns the index after it; or a negative
// one if it is not JSON: where and why is in the scanner.
func (d *decoder) read(o *object, b []byte, i int) int {
	o.reset(b)
	o.at = i
	s := &d.b.scan
	s.open, s.deep = 0, false
	i = d.walk(o, b, i, nil, 0)
	s.open = 0
	return i
}

// walk reads the object at b[i], which is the value of members of the name
// parent within the member number top of the record, or is the record itself.
func (d *decoder) walk(o *object, b []byte, i int, parent *use, top int) int {
	s, names := &d.b.scan, d.rules.table
	start := i // of the record, if it is that
	more, seen := false, 0
	i = s.space(b, i+1)
	if i < len(b) && b[i] == '}' {
		return i + 1
	}
	for {
		if parent == nil {
			s.loose, o.partial = false, false
			top = len(o.members)
		} else if more {
			o.partial = true
		}
		more = true
		from := i
		if i == len(b) || b[i] != '"' {
			return s.fail(i, "where a member's name was expected")
		}
		var u *use
		var exactly bool
		i++
		if end := ordinary(b, i); end < len(b) && b[end] == '"' {
			u, exactly = d.b.recent.find(names, parent, b, i, end, seen)
			seen++
			i = end + 1
		} else {
			if end = s.text(b, i); end < 0 {
				return end
			}
			if raw := b[i : end-1]; len(raw) <= 6*maxNameBytes { // a longer one is none of the names
				s.name = Unescape(s.name[:0], raw)
				u, exactly = names.find(&d.b.recent.buf, parent, s.name)
			}
			i = end
		}
		if i < len(b)-1 && b[i] == ':' && b[i+1] > ' ' {
			i++
		} else {
			if i = s.space(b, i); i == len(b) || b[i] != ':' {
				return s.fail(i, "where a colon was expected")
			}
			i = s.space(b, i+1)
		}
		switch {
		case u != nil:
			i = d.useful(o, b, i, u, exactly, top)
		case i < len(b) && b[i] == '"':
			if end := ordinary(b, i+1); end < len(b) && b[end] == '"' {
				i = end + 1
			} else {
				i = s.text(b, i+1)
			}
		default:
			i = s.skip(b, i)
		}
		if i < 0 {
			return i
		}
		if parent == nil && d.rules.keep && !(u != nil && u.reserved && exactly) {
			if most := d.limits.SentBytes; most <= 0 || i-start <= most { // or it will be refused
				o.add(member{start: from, end: i, loose: s.loose, partial: o.partial, joins: u == nil && !s.loose})
			}
		}
		if i < len(b)-1 && b[i] == ',' && b[i+1] == '"' { // as most are
			i++
			continue
		}
		i = s.space(b, i)
		switch {
		case i < len(b) && b[i] == ',':
			i = s.space(b, i+1)
		case i < len(b) && b[i] == '}':
			return i + 1
		default:
			return s.fail(i, "where a comma or the end of the object was expected")
		}
	}
}

// add adds m, with the last member if both are to be copied as they are.
func (o *object) add(m member) {
	if n := len(o.members); n > 0 && m.joins {
		if last := &o.members[n-1]; last.joins && last.end+1 == m.start {
			last.end = m.end
			return
		}
	}
	o.members = append(o.members, m)
}

// useful reads the value at b[i] of a member that the record may use, and
// returns the index after it.
func (d *decoder) useful(o *object, b []byte, i int, u *use, exactly bool, top int) int {
	s := &d.b.scan
	v := value{start: i, member: top, use: u}
	if u.reserved && exactly {
		v.member = -1
	}
	if i == len(b) {
		return s.fail(i, "where a value was expected")
	}
	switch c := b[i]; {
	case c == '"':
		v.kind, v.start = textKind, i+1
		if i = ordinary(b, v.start); i < len(b) && b[i] == '"' {
			i++
			v.canonical = true
		} else if i = s.text(b, v.start); i < 0 {
			return i
		}
		v.end = i - 1
	case c == '{' && u.inside:
		s.open++
		s.deep = s.deep || s.depth > 0 && s.open > s.depth
		i = d.walk(o, b, i, u, top)
		s.open--
		return i
	case c == '[' && u.inside:
		return d.walkArray(o, b, i, u, top)
	default:
		if i = s.skip(b, i); i < 0 {
			return i
		}
		v.end = i
		switch {
		case c == '{':
			v.kind = objectKind
		case c == '-' || c-'0' < 10:
			v.kind = numberKind
		case c == '[' && u.wraps && s.open == 0:
			v.rank = 1
			o.list = v
			return i
		}
	}
	o.offer(v, u, exactly, d.rules.shipper)
	return i
}

// offer makes v the value of what u is used for, if it is the best so far.
func (o *object) offer(v value, u *use, exactly, lenient bool) {
	blankText := v.kind == textKind && (v.start == v.end || !startsNonBlank(o.src[v.start]) && blank(o.src[v.start:v.end]))
	for of, rank := range u.rank {
		if rank == 0 {
			continue
		}
		// One in another case is next to the one that is written as it is listed.
		v.rank = 2 * int(rank)
		if !exactly {
			v.rank++
		}
		fits := v.kind == textKind || of == timestamp && v.kind == numberKind && lenient || of == lineUse && v.kind == objectKind
		switch {
		case !fits:
			if of < columns && v.kind != 0 {
				o.other[of] = true
			}
			if of < columns && o.first[of].rank == v.rank { // a repeated member: the last one counts
				o.first[of] = value{}
			}
		case of == lineUse:
			if i := v.rank - 2; !blankText && i < len(o.lines) {
				o.lines[i] = v
				o.has[i/64] |= 1 << (i % 64)
			}
		case o.first[of].rank == v.rank && blankText:
			o.first[of] = value{}
		case !blankText && (o.first[of].rank == 0 || v.rank <= o.first[of].rank):
			o.first[of] = v
		}
	}
}

// walkArray reads the array at b[i], whose elements may have uses by their
// number.
func (d *decoder) walkArray(o *object, b []byte, i int, u *use, top int) int {
	s := &d.b.scan
	s.open++
	s.deep = s.deep || s.depth > 0 && s.open > s.depth
	i = s.space(b, i+1)
	if i < len(b) && b[i] == ']' {
		s.open--
		return i + 1
	}
	for n := 0; ; n++ {
		o.partial = o.partial || n > 0
		var element *use
		if n < 10 {
			digit := [1]byte{'0' + byte(n)}
			element, _ = d.rules.table.find(&d.b.recent.buf, u, digit[:])
		}
		if element != nil {
			i = d.useful(o, b, i, element, true, top)
		} else {
			i = s.skip(b, i)
		}
		if i < 0 {
			return i
		}
		i = s.space(b, i)
		switch {
		case i < len(b) && b[i] == ',':
			i = s.space(b, i+1)
		case i < len(b) && b[i] == ']':
			s.open--
			return i + 1
		default:
			return s.fail(i, "where a comma or an end was expected")
		}
	}
}

// record adds the record that has been read into o, or reports what is wrong
// with it.
func (d *decoder) record(o *object) {
	d.begin()
	why := ""
	if o.first[path].rank == 0 || o.first[userAgent].rank == 0 {
		var done bool
		if done, why = d.fromLine(o); done {
			d.put()
			return
		}
	}
	d.fill(o)
	if why != "" && d.fields[path].kind != present && d.fields[userAgent].kind != present {
		d.report("record", why)
		return
	}
	d.keepMembers(o)
	good := d.good
	if d.put(); d.good > good {
		d.learn(o)
	}
}

// begin begins a record that has been read, if it is an object, and is not nested
// too deeply. Nothing of the record before it, or of another body, is left.
func (d *decoder) begin() {
	d.b.scan.deep = false
	d.fields, d.badMoment = [columns]field{}, 0
	d.b.scratch, d.b.extra = d.b.scratch[:0], d.b.extra[:0]
	if len(d.b.before) > 0 && d.rules.keep {
		d.b.extra = append(append(d.b.extra, ','), d.b.before...)
	}
}

// fill fills the fields that have no value yet with those of o.
func (d *decoder) fill(o *object) {
	if v := &o.first[timestamp]; v.rank > 0 && d.fields[timestamp].kind != present {
		d.setTime(o, v)
		o.consume(v)
	}
	if v := &o.first[userAgent]; v.rank > 0 && d.fields[userAgent].kind != present {
		d.fields[userAgent] = field{d.jsonText(o, v), present}
		o.consume(v)
	}
	if v := &o.first[path]; v.rank > 0 && d.fields[path].kind != present {
		d.fields[path] = field{d.pathValue(o, v), present}
	}
	for c := range d.fields {
		if d.fields[c].kind == absent && o.other[c] {
			d.fields[c].kind = notString
		}
	}
}

// pathValue returns the path that the value v has.
func (d *decoder) pathValue(o *object, v *value) []byte {
	whole := d.jsonText(o, v)
	if !d.rules.shipper {
		return whole
	}
	p := d.pathOf(whole, v.use.isRequest())
	if len(p) == len(whole) && &p[0] == &whole[0] { // neither is empty
		o.consume(v)
	}
	if q := &o.first[queryUse]; q.rank > 0 && v.use.name == "cs-uri-stem" {
		if t := d.jsonText(o, q); string(t) != "-" {
			p = d.join(p, '?', t)
		}
		o.consume(q)
	}
	return p
}

// consume notes that the value of the member of v went into one of the three.
func (o *object) consume(v *value) {
	if v.member >= 0 && v.member < len(o.members) && !o.members[v.member].partial {
		o.members[v.member].used = true
	}
}

// setTime makes the value v the record's time.
func (d *decoder) setTime(o *object, v *value) {
	raw := o.src[v.start:v.end]
	if v.kind == textKind && !v.canonical {
		raw = d.jsonText(o, v)
	}
	d.fields[timestamp] = field{raw, present}
	if d.rules.shipper {
		d.readTime(raw)
	}
}

// readTime makes s, a time of any kind, the record's time.
func (d *decoder) readTime(s []byte) {
	if bytes.IndexByte(s, '\\') >= 0 { // a line end behind it, perhaps
		mark := len(d.b.scratch)
		d.b.scratch = Unescape(d.b.scratch, s)
		s = d.b.scratch[mark:]
	}
	var t []byte
	if t, d.badMoment = d.moment(s); d.badMoment == 0 {
		s = t
	}
	d.fields[timestamp] = field{s, present}
}

// jsonText returns the text of a string in canonical form. It has been read
// before, and so is JSON.
func (d *decoder) jsonText(o *object, v *value) []byte {
	if v.canonical {
		return o.src[v.start:v.end]
	}
	t, _ := d.text(o.src[:v.end+1], v.start, v.start)
	return t
}

// join returns a, the byte between and b, in scratch memory.
func (d *decoder) join(a []byte, between byte, b []byte) []byte {
	mark := len(d.b.scratch)
	d.b.scratch = append(append(append(d.b.scratch, a...), between), b...)
	return d.b.scratch[mark:]
}

// keepMembers adds the members of o to the extra ones of the record, except for
// those that have been used.
func (d *decoder) keepMembers(o *object) {
	for i := range o.members {
		if m := &o.members[i]; !m.used {
			d.keep(o.src[m.start:m.end], m.loose)
		}
	}
}
