package codec

import "bytes"

// Bodies in which a record may be bad and its neighbours are not: what log
// shippers send. The form is found out from the body, line by line where it has
// to be, and after what cannot be read the scan goes on as soon as it can.

// shipperBody reads a body of the form f.
func (d *decoder) shipperBody(b []byte, f Format) {
	d.b.extended.known = false
	d.b.shippers = true
	d.only = f
	i := skipSpace(b, 0)
	switch {
	case i == len(b):
		d.reportEmpty()
	case f == CSV || f == Auto && d.isCSV(b, i):
		d.shipperCSV(b)
	default:
		d.values(b, i)
	}
}

// isCSV reports whether the body whose first line is at b[i] is CSV: that line
// has commas between names, or begins with a time and a comma.
func (d *decoder) isCSV(b []byte, i int) bool {
	if b[i] == '{' || b[i] == '[' || b[i] == '#' {
		return false
	}
	s := b[i:lineEndAfter(b, i)]
	comma := bytes.IndexByte(s, ',')
	if comma < 0 {
		return false
	}
	if !d.rules.shipper {
		return true
	}
	first := bytes.Trim(s[:comma], `"`)
	if _, bad := d.moment(first); bad == 0 {
		return true
	}
	if d.shipperHeader(b[:i+len(s)]); d.b.headed {
		return true
	}
	return false
}

// values reads JSON values and other lines, one after another.
func (d *decoder) values(b []byte, i int) {
	again := 0 // bytes that have been read in vain, beyond the line that is to blame
	for i < len(b) && d.over == nil {
		if d.rules.canonicalFirst && d.only <= NDJSON {
			i, _ = d.canonical(b, i, inObjects)
		}
		if i = skipSpace(b, i); i == len(b) {
			return
		}
		if d.rules.shipper && (d.only == Auto || d.only == Combined) && !d.b.extended.known {
			if next := d.plainLines(b, i); next > i {
				i = next
				continue
			}
		}
		if b[i] == '{' && d.only <= NDJSON {
			if next := d.plainObjects(b, i, '\n'); next > i {
				i = next
				continue
			}
		}
		end := -1
		switch {
		case d.only > NDJSON:
		case b[i] == '{':
			end = d.shipperObject(b, i, &again)
		case b[i] == '[':
			end = d.shipperArray(b, i, &again)
		case b[i] == ',': // some put commas between the objects
			if next := skipSpace(b, i+1); next == len(b) || b[next] == '{' {
				end = next
			}
		}
		if end < 0 {
			if end = lineEndAfter(b, i); d.admit() {
				d.textRecord(b[i:end])
			}
		}
		i = end
	}
}

// shipperObject reads the record at b[i], or the wrapper of some, and returns
// the index after it. Where it is not JSON, it sets aside the line that it
// begins on. It returns a negative index if that line is something else.
func (d *decoder) shipperObject(b []byte, i int, again *int) int {
	if list := d.wrapped(b, i); list > 0 {
		d.wrappers = true
		return d.afterWrapped(b, d.elementsOf(b, list, again), again)
	}
	if !d.admit() {
		return len(b)
	}
	if d.rules.shipper {
		if end := d.plainWrapped(b, i, '\n'); end > 0 {
			return end
		}
	}
	o := &d.b.outer
	within := b
	if *again > 2*len(b) { // from now on no record is longer than its line
		within = b[:lineEndAfter(b, i)]
	}
	end := d.read(o, within, i)
	if end < 0 {
		stop := lineEndAfter(b, i)
		*again += max(0, d.b.scan.at-stop)
		d.line = bytes.TrimRight(b[i:stop], " \t\r")
		if d.fits(len(d.line)) {
			d.syntax(b, d.b.scan.at, d.b.scan.where)
		}
		return stop
	}
	if d.line = b[i:end]; d.fits(end - i) {
		d.takeObject(o, again)
	}
	return end
}

// takeObject adds the record that has been read into o, or those of the list in
// it.
func (d *decoder) takeObject(o *object, again *int) {
	if d.b.scan.deep {
		d.put() // which says so
		return
	}
	if o.list.rank > 0 && o.first[path].rank == 0 && o.first[userAgent].rank == 0 && o.has == [3]uint64{} {
		src, start := o.src[:o.list.end], o.list.start
		d.elementsOf(src, start+1, again)
		return
	}
	d.record(o)
}

// wrapped returns the index after the bracket of the list of records that the
// object at b[i] has as one of its first members, or 0 if it has none.
func (d *decoder) wrapped(b []byte, i int) int {
	if !d.rules.shipper || d.index > 0 && !d.wrappers {
		return 0
	}
	s := &d.b.scan
	i = skipSpace(b, i+1)
	for range 8 {
		if i == len(b) || b[i] != '"' {
			return 0
		}
		end := i + 1
		for end < len(b) && end < i+20 && b[end] != '"' {
			end++
		}
		if end == len(b) || b[end] != '"' {
			return 0
		}
		u, exactly := d.b.recent.find(d.rules.table, nil, b, i+1, end, 0)
		if i = skipSpace(b, end+1); i == len(b) || b[i] != ':' {
			return 0
		}
		if i = skipSpace(b, i+1); i == len(b) {
			return 0
		}
		if u != nil && u.wraps && exactly && b[i] == '[' {
			if first := skipSpace(b, i+1); first < len(b) && (b[first] == '{' || b[first] == '"' || b[first] == ']') {
				return i + 1
			}
		}
		if u != nil || b[i] == '{' || b[i] == '[' {
			return 0
		}
		if i = s.skip(b, i); i < 0 {
			return 0
		}
		if i = skipSpace(b, i); i == len(b) || b[i] != ',' {
			return 0
		}
		i = skipSpace(b, i+1)
	}
	return 0
}

// afterWrapped passes over what follows the list of a wrapper, up to its closing
// brace, and returns the index after it. What is no JSON there is set aside.
func (d *decoder) afterWrapped(b []byte, i int, again *int) int {
	s := &d.b.scan
	for d.over == nil {
		if i = skipSpace(b, i); i == len(b) {
			return i
		}
		if b[i] == '}' {
			return i + 1
		}
		if b[i] != ',' {
			return i
		}
		name := skipSpace(b, i+1)
		if name == len(b) || b[name] != '"' {
			return i + 1
		}
		after := s.text(b, name+1)
		if after < 0 {
			return i + 1
		}
		if after = skipSpace(b, after); after == len(b) || b[after] != ':' {
			return i + 1
		}
		if after = skipSpace(b, after+1); after == len(b) {
			return i + 1
		}
		if after = s.skip(b, after); after < 0 {
			return i + 1
		}
		i = after
	}
	return i
}

// shipperArray reads the array of records at b[i], and returns the index after
// it; or a negative one if the bracket does not begin an array.
func (d *decoder) shipperArray(b []byte, i int, again *int) int {
	first := skipSpace(b, i+1)
	if first < len(b) && b[first] == ']' {
		return first + 1
	}
	if first == len(b) {
		return -1
	}
	if d.index == 0 && (b[first] == '{' || b[first] == '"') {
		d.arrays = true
	}
	if d.arrays {
		return d.elementsOf(b, i+1, again)
	}
	// Among lines of another kind it has to be JSON to be an array.
	within := b
	if *again > 2*len(b) {
		within = b[:lineEndAfter(b, i)]
	}
	end := d.b.scan.skip(within, i)
	if end < 0 {
		*again += max(0, d.b.scan.at-lineEndAfter(b, i))
		return -1
	}
	return d.elementsOf(b[:end], i+1, again)
}

// elementsOf reads the records of an array from b[i] on, after its bracket, and
// returns the index after the closing one. After one that is not JSON it goes
// on with the next that begins after a comma.
func (d *decoder) elementsOf(b []byte, i int, again *int) int {
	i = skipSpace(b, i)
	if i < len(b) && b[i] == ']' {
		return i + 1
	}
	for d.over == nil {
		whole := false
		if d.rules.canonicalFirst {
			i, whole = d.canonical(b, i, inArray)
		}
		if !whole {
			if i = skipCommas(b, i); i < len(b) && b[i] == ']' {
				return i + 1
			}
			if next := d.plainObjects(b, i, ','); next > i {
				i = next
			} else {
				i = d.element(b, i, again)
			}
		}
		i = skipSpace(b, i)
		switch {
		case i == len(b):
			return i
		case b[i] == ',':
			i = skipSpace(b, i+1)
		case b[i] == ']':
			return i + 1
		case b[i] == '{': // a comma is missing
		case b[i] == '[' && b[i-1] == '\n': // the end is missing, and here is another array
			return i
		default:
			d.b.scan.fail(i, "where a comma or the end of the array was expected")
			if i = d.resume(b, i, i, again); i < len(b) {
				i = skipSpace(b, i+1)
			}
		}
	}
	return len(b)
}

// skipCommas is skipSpace for commas as well.
func skipCommas(b []byte, i int) int {
	for i = skipSpace(b, i); i < len(b) && b[i] == ','; {
		i = skipSpace(b, i+1)
	}
	return i
}

// element reads the record at b[i] and returns the index after it.
func (d *decoder) element(b []byte, i int, again *int) int {
	if !d.admit() {
		return len(b)
	}
	s := &d.b.scan
	o := &d.b.outer
	var end int
	switch {
	case i < len(b) && b[i] == '{':
		if d.rules.shipper {
			if end = d.plainWrapped(b, i, ','); end > 0 {
				return end
			}
		}
		end = d.read(o, b, i)
	case i < len(b):
		s.deep = false
		end = s.skip(b, i)
	default:
		return len(b)
	}
	if end < 0 {
		return d.resume(b, i, s.at, again)
	}
	if d.line = b[i:end]; !d.fits(end - i) {
		return end
	}
	switch {
	case b[i] == '{' && !d.b.scan.deep && o.list.rank == 0:
		d.record(o)
	case b[i] == '{' && d.b.scan.deep:
		d.put()
	case b[i] == '{': // a list within a list: once is enough
		d.record(o)
	case b[i] == '"' && d.rules.shipper:
		d.b.plain = Unescape(d.b.plain[:0], b[i+1:end-1])
		d.oneText(d.b.plain)
	default:
		d.noObject()
	}
	return end
}

// resume sets aside what begins at b[start] and is not JSON at b[at]: up to the
// next comma with a brace behind it, or line that begins with a brace or
// bracket; or if there is none, to the end of b. It
// returns the index of that comma, or brace, or the length of b.
func (d *decoder) resume(b []byte, start, at int, again *int) int {
	end := len(b)
	if *again <= 2*len(b) {
		last := start // that is not white space
		for i := start + 1; i < len(b); i++ {
			switch c := b[i]; {
			case c == '{' && b[last] == ',':
				end = last
			case (c == '{' || c == '[') && b[i-1] == '\n':
				end = i
			case c > ' ':
				last = i
				continue
			default:
				continue
			}
			break
		}
	}
	*again += max(0, at-end)
	d.line = bytes.TrimRight(b[start:end], " \t\r\n")
	if d.fits(len(d.line)) {
		d.syntax(b, at, d.b.scan.where)
	}
	return end
}
