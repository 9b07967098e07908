package codec

import "bytes"

// The fast path of objects with other names. The objects of a body mostly have the
// same members in the same order: so the shape of one that the general path has read
// is kept, which says what each member is to the record. An object of that shape,
// without anything nested in it, is scanned once and copied to its place.

// shape is the members of an object, in their order.
type shape struct {
	table   uint64 // that its names have been looked up in
	n       int    // members; 0: none is known
	members [32]shapeMember
	columns [columns]int // the members that are the values of the record
	kept    [8]struct{ first, last int }
	pieces  int // of kept: runs of extra members, one after another
	names   [1024]byte
	// timeBytes is the length of the times, if they are of the kind that writeTime reads:
	// their end is then not looked for. Otherwise it is 0.
	timeBytes int
	missed    uint8 // objects of other shapes since the last of this one

	of [32]span // where the members of the object that is read are, with what precedes them
}

// shapeMember is what precedes the value of a member: the comma or the brace
// before it, its name in quotes, and the colon. It is compared as two words.
type shapeMember struct {
	words16
	name int  // where the same is in names
	long bool // longer than the words
	text bool // the value has to be a string: it is the path or the user agent

	isTime bool // the value is the time

	// The same with the value of an earlier record behind it, where both are short:
	// methods, states and users that are "-" are mostly those of the record before.
	again words16
	score uint8 // how often it may be another value before it is no longer tried
}

// words16 is a text of up to 16 bytes as two words.
type words16 struct {
	first, second         uint64
	firstMask, secondMask uint64 // of their bytes that count
	length                int
}

// in reports whether w, of 16 bytes, begins with the text.
func (x *words16) in(w []byte) bool {
	return (load(w, 0)^x.first)&x.firstMask|(load(w, 8)^x.second)&x.secondMask == 0
}

// words16Of returns what is in the first n bytes of w, which has 16; the length is n, also
// where that is more.
func words16Of(w []byte, n int) words16 {
	return words16{
		first: load(w, 0), second: load(w, 8), length: n,
		firstMask: 1<<(8*min(n, 8)) - 1, secondMask: 1<<(8*min(max(n-8, 0), 8)) - 1,
	}
}

// set makes m that of the text, which is at names[at:].
func (m *shapeMember) set(text []byte, at int) {
	var padded [16]byte
	copy(padded[:], text)
	*m = shapeMember{words16: words16Of(padded[:], len(text)), name: at, long: len(text) > len(padded)}
}

// What may follow an object.
const (
	anything  = iota
	wholeLine // a newline, or nothing
	wholeText // nothing
)

// plainObject is shapedObject where a shape is known.
func (d *decoder) plainObject(b []byte, i, follows int) int {
	if d.b.shape.n == 0 || !d.rules.shipper {
		return 0
	}
	return d.shapedObject(b, i, follows)
}

// plainObjects adds the records of the objects from b[i] on, as long as they are of the
// shape that is known, with the separator between them. It returns the index after the
// last of them, or i if there is none.
func (d *decoder) plainObjects(b []byte, i int, separator byte) int {
	if d.b.shape.n == 0 || !d.rules.shipper {
		return i
	}
	next := i
	for next < len(b) && b[next] == '{' {
		end := d.shapedObject(b, next, anything)
		if end == 0 {
			break
		}
		if i = end; i == len(b) || b[i] != separator {
			break
		}
		next = i + 1
	}
	return i
}

// shapedObject adds the record of the object at b[i], if it is of the shape that is
// known, and of the hour of the record before, with nothing else behind it than may be. It
// returns the index after it. For any other, and when the output has to grow, it returns
// 0 and has added nothing.
func (d *decoder) shapedObject(b []byte, i, follows int) int {
	s := &d.b.shape
	if s.table != d.rules.table.id || len(d.b.before) > 0 || d.limits.Records > 0 && d.index >= d.limits.Records {
		return 0
	}
	b = b[:len(b):len(b)] // what is copied in pieces ends where b does
	start := i
	members, of := s.members[:s.n], &s.of
	for k := range members {
		m := &members[k]
		of[k].start = i
		if i <= len(b)-16 && !m.long {
			w := b[i : i+16 : i+16]
			if m.score > 0 {
				if m.again.in(w) {
					i += m.again.length
					of[k].end = i
					continue
				}
				m.score--
			}
			if !m.in(w) {
				return 0
			}
		} else if !bytes.HasPrefix(b[i:], s.names[m.name:m.name+m.length]) {
			return 0
		}
		if i += m.length; i >= len(b) {
			return 0
		}
		if b[i] == '"' {
			if i++; m.text { // a path or a user agent is rarely short
				i = ordinary(b, i)
			} else if m.isTime && s.timeBytes > 0 && i+s.timeBytes < len(b) && b[i+s.timeBytes] == '"' {
				i += s.timeBytes // writeTime looks at each byte
			} else if i <= len(b)-16 {
				w := b[i : i+16 : i+16]
				if v := special(load(w, 0)); v != 0 { // many texts are short
					i += firstMark(v)
				} else if v := special(load(w, 8)); v != 0 {
					i += 8 + firstMark(v)
				} else {
					i = ordinary(b, i+16)
				}
			}
			if i >= len(b) || b[i] != '"' {
				if i = canonicalText(b, i); i >= len(b) || b[i] != '"' {
					return 0
				}
			}
			i++
		} else if i = plainValue(b, i); i == 0 || m.text {
			return 0
		}
		of[k].end = i
	}
	if i >= len(b) || b[i] != '}' || follows > anything && i+1 < len(b) && (follows == wholeText || b[i+1] != '\n') {
		return 0
	}
	i++
	at, p, agent := s.value(b, timestamp), s.value(b, path), s.value(b, userAgent)
	if len(p) == 0 || p[0] != '/' || len(agent) == 0 || !startsNonBlank(agent[0]) {
		return 0
	}
	const atMost = 32 // bytes of a time
	line := d.out[len(d.out):cap(d.out)]
	if len(line) < hourAt+atMost {
		return 0
	}
	t := d.writeTime(line[hourAt:hourAt+atMost], at)
	timeBytes := len(at)
	if t == 0 {
		if t = d.writeMoment(line[hourAt:hourAt+atMost], at); t == 0 || s.timeBytes > 0 {
			s.timeBytes = 0
			return 0
		}
		timeBytes = 0
	}
	if d.b.clock.hour != d.hour {
		return 0
	}
	pieces := s.kept[:s.pieces]
	if !d.rules.keep {
		pieces = nil
	}
	const pathName, agentName = `","path":"`, `","userAgent":"`
	n := hourAt + t + len(pathName) + len(p) + len(agentName) + len(agent) + len(`"}`)
	for k := range pieces {
		n += of[pieces[k].last].end - of[pieces[k].first].start
	}
	if len(line) <= n || d.limits.RecordBytes > 0 && n > d.limits.RecordBytes || d.limits.SentBytes > 0 && i-start > d.limits.SentBytes {
		return 0
	}
	copy(line[:hourAt], `{"timestamp":"`)
	n = hourAt + t
	n = writeTexts(line, n, p, agent)
	for k := range pieces {
		piece := b[of[pieces[k].first].start:of[pieces[k].last].end]
		if len(piece) <= 64 && cap(piece) >= 64 && len(line)-n >= 64 {
			copy64(line[n:], piece[:64])
		} else {
			copy(line[n:], piece)
		}
		line[n] = ',' // also where the first member has a brace before it
		n += len(piece)
	}
	copy(line[n:n+2], "}\n")
	d.out = d.out[:len(d.out)+n+2]
	d.good++
	d.index++
	s.missed = 0
	if n := d.index % 16; n == 2 || n == 3 { // two after each other, now and then
		s.compare(b)
		s.timeBytes = timeBytes
	}
	return i
}

// compare finds out which members have the same value again.
func (s *shape) compare(b []byte) {
	const tries = 4
	for k := range s.members[:s.n] {
		m, of := &s.members[k], s.of[k]
		if n := of.end - of.start; n <= 16 && of.start <= len(b)-16 {
			if w := b[of.start : of.start+16]; m.again.length == n && m.again.in(w) {
				m.score = tries
			} else {
				m.again, m.score = words16Of(w, n), 0
			}
		}
	}
}

// value returns the value of the record in that column, without its quotes.
func (s *shape) value(b []byte, column int) []byte {
	k := s.columns[column]
	v := b[s.of[k].start+s.members[k].length : s.of[k].end]
	if v[0] == '"' {
		return v[1 : len(v)-1]
	}
	return v
}

// writeTexts writes the path and the user agent to their place at line[n:], from the quote
// behind the time to the one behind the user agent, and returns the index after it.
func writeTexts(line []byte, n int, p, agent []byte) int {
	const pathName, agentName = `","path":"`, `","userAgent":"`
	copy(line[n:n+len(pathName)], pathName)
	n += len(pathName)
	if len(p) <= 64 && cap(p) >= 64 && len(line)-n >= 64 {
		copy64(line[n:], p[:64])
	} else {
		copy(line[n:], p)
	}
	n += len(p)
	copy(line[n:n+len(agentName)], agentName)
	n += len(agentName)
	if len(agent) <= 128 && cap(agent) >= 128 && len(line)-n >= 128 {
		copy64(line[n:], agent[:64])
		copy64(line[n+64:], agent[64:128])
	} else {
		copy(line[n:], agent)
	}
	n += len(agent)
	line[n] = '"'
	return n + 1
}

// copy64 copies 64 bytes.
func copy64(dst, s []byte) {
	dst, s = dst[:64:64], s[:64:64]
	copy(dst[:16], s[:16])
	copy(dst[16:32], s[16:32])
	copy(dst[32:48], s[32:48])
	copy(dst[48:], s[48:])
}

// plainValue returns the index after the number, true, false or null at b[i], or 0 if
// something else is there.
func plainValue(b []byte, i int) int {
	for _, word := range [...]string{"null", "true", "false"} {
		if b[i] == word[0] {
			if end := i + len(word); end <= len(b) && string(b[i:end]) == word {
				return end
			}
			return 0
		}
	}
	end, ok := number(b, i)
	if !ok {
		return 0
	}
	return end
}

// learn makes the shape of o, which has become a record, the one that is known, if
// plainObject can read objects of that shape. Where shapes change from one object to
// the next, it does so now and then only.
func (d *decoder) learn(o *object) {
	s := &d.b.shape
	if !d.rules.shipper || len(d.b.before) > 0 {
		return
	}
	if s.missed < 255 {
		s.missed++
	}
	if s.missed > 3 && d.index%16 != 0 {
		return
	}
	s.n, s.pieces, s.timeBytes, s.table = 0, 0, 0, d.rules.table.id
	var best [columns]struct{ rank, member int }
	var dropped [len(s.members)]bool
	b, i, n, at := o.src, o.at, 0, 0
	for {
		if n == len(s.members) || i+1 >= len(b) || b[i+1] != '"' {
			return
		}
		end := ordinary(b, i+2)
		if end+2 >= len(b) || b[end] != '"' || b[end+1] != ':' || at+end+2-i > len(s.names) {
			return
		}
		u, exactly := d.b.recent.find(d.rules.table, nil, b, i+2, end, n)
		text := b[i : end+2]
		s.members[n].set(text, at)
		at += copy(s.names[at:], text)
		if i = end + 2; b[i] == '{' || b[i] == '[' || b[i] <= ' ' {
			return
		}
		if u != nil {
			dropped[n] = u.reserved && exactly
			for c := range best {
				rank := 2 * int(u.rank[c])
				if !exactly {
					rank++
				}
				switch x := &best[c]; {
				case u.rank[c] == 0 || x.rank > 0 && x.rank < rank:
				case x.rank == rank, c == path && u.name == "cs-uri-stem":
					return // which of them counts, or what belongs to it, is not for here
				default:
					x.rank, x.member = rank, n
				}
			}
		}
		if i = d.b.scan.skip(b, i); i < 0 || i >= len(b) {
			return
		}
		if n++; b[i] == '}' {
			break
		}
		if b[i] != ',' { // white space
			return
		}
	}
	var isColumn [len(s.members)]bool
	for c, x := range best {
		if x.rank == 0 || isColumn[x.member] {
			return
		}
		isColumn[x.member] = true
		s.columns[c] = x.member
		s.members[x.member].isTime = c == timestamp
		s.members[x.member].text = c != timestamp
	}
	for k := range n {
		switch last := s.pieces - 1; {
		case isColumn[k] || dropped[k]:
		case last >= 0 && s.kept[last].last == k-1:
			s.kept[last].last = k
		case s.pieces == len(s.kept):
			return
		default:
			s.kept[s.pieces].first, s.kept[s.pieces].last = k, k
			s.pieces++
		}
	}
	s.n = n
}
