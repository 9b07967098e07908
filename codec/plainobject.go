package codec

// The fast path of objects with other names. The objects of a body mostly have the
// same members in the same order: so the shape of one that the general path has read
// is kept, which says what each member is to the record. An object of that shape,
// without anything nested in it, is scanned once and copied to its place.

// shape is the members of an object, in their order.
type shape struct {
	table  uint64 // that its names have been looked up in
	n      int    // members; 0: none is known
	names  [1024]byte
	ends   [32]uint16 // of each member's name, with its quotes and the colon, in names
	roles  [32]uint8
	missed uint8 // objects of other shapes since the last of this one
}

// What a member is to the record: the value of a column, or one of these.
const (
	keptRole    = columns + iota // an extra member
	droppedRole                  // it has the name of a column, but another one counts
)

// plainObject is shapedObject where a shape is known.
func (d *decoder) plainObject(b []byte, i int, whole bool) int {
	if d.b.shape.n == 0 || !d.rules.shipper {
		return 0
	}
	return d.shapedObject(b, i, whole)
}

// shapedObject adds the record of the object at b[i], if it is of the shape that is
// known, and of the hour of the record before; and if whole, b ends with it. It
// returns the index after it. For any other, and when the output has to grow, it returns
// 0 and has added nothing.
func (d *decoder) shapedObject(b []byte, i int, whole bool) int {
	s := &d.b.shape
	if s.table != d.rules.table.id || len(d.b.before) > 0 || d.limits.Records > 0 && d.index >= d.limits.Records {
		return 0
	}
	var of [columns]span
	var kept [8]span // members one after another
	start, pieces, extra, at := i, 0, 0, 0
	i++
	for k := range s.n {
		end := int(s.ends[k])
		name, first := s.names[at:end], i
		if at = end; len(b)-i <= len(name) || string(b[i:i+len(name)]) != string(name) {
			return 0
		}
		i += len(name)
		v := i
		if b[i] == '"' {
			v++
			if i = ordinary(b, v); i >= len(b) || b[i] != '"' {
				if i = canonicalText(b, i); i >= len(b) || b[i] != '"' {
					return 0
				}
			}
			end = i
			i++
		} else {
			if i = plainValue(b, i); i == 0 || s.roles[k] == path || s.roles[k] == userAgent {
				return 0
			}
			end = i
		}
		switch role := s.roles[k]; {
		case role < columns:
			of[role] = span{v, end}
		case role == keptRole && pieces > 0 && kept[pieces-1].end == first-1:
			kept[pieces-1].end = i
			extra += i - first + 1
		case role == keptRole && pieces == len(kept):
			return 0
		case role == keptRole:
			kept[pieces] = span{first, i}
			pieces++
			extra += i - first + 1
		}
		if i >= len(b) || k < s.n-1 && b[i] != ',' || k == s.n-1 && b[i] != '}' {
			return 0
		}
		i++
	}
	p, agent := b[of[path].start:of[path].end], b[of[userAgent].start:of[userAgent].end]
	if len(p) == 0 || p[0] != '/' || len(agent) == 0 || !startsNonBlank(agent[0]) || whole && i < len(b) {
		return 0
	}
	t, bad := d.moment(b[of[timestamp].start:of[timestamp].end])
	if bad != 0 || d.b.clock.hour != d.hour {
		return 0
	}
	if !d.rules.keep {
		pieces, extra = 0, 0
	}
	const pathName, agentName = `","path":"`, `","userAgent":"`
	n := hourAt + len(t) + len(pathName) + len(p) + len(agentName) + len(agent) + extra + len(`"}`)
	line := d.out[len(d.out):cap(d.out)]
	if len(line) <= n || d.limits.RecordBytes > 0 && n > d.limits.RecordBytes || d.limits.SentBytes > 0 && i-start > d.limits.SentBytes {
		return 0
	}
	copy(line[:hourAt], `{"timestamp":"`)
	n = hourAt
	if len(t) == 20 {
		copy20(line[n:], t)
	} else {
		copy(line[n:], t)
	}
	n += len(t)
	copy(line[n:n+len(pathName)], pathName)
	n += len(pathName)
	n += copy(line[n:], p)
	copy(line[n:n+len(agentName)], agentName)
	n += len(agentName)
	n += copy(line[n:], agent)
	line[n] = '"'
	n++
	for _, piece := range kept[:pieces] {
		line[n] = ','
		n += 1 + copy(line[n+1:], b[piece.start:piece.end])
	}
	copy(line[n:n+2], "}\n")
	d.out = d.out[:len(d.out)+n+2]
	d.good++
	d.index++
	s.missed = 0
	return i
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
	s.n, s.table = 0, d.rules.table.id
	var best [columns]struct{ rank, member int }
	b, i, n, at := o.src, o.at+1, 0, 0
	for {
		if n == len(s.roles) || b[i] != '"' {
			return
		}
		end := ordinary(b, i+1)
		if end+2 >= len(b) || b[end] != '"' || b[end+1] != ':' || at+end+2-i > len(s.names) {
			return
		}
		u, exactly := d.b.recent.find(d.rules.table, nil, b, i+1, end, n)
		at += copy(s.names[at:], b[i:end+2])
		s.ends[n], s.roles[n] = uint16(at), keptRole
		if i = end + 2; b[i] == '{' || b[i] == '[' || b[i] <= ' ' {
			return
		}
		if u != nil {
			if u.reserved && exactly {
				s.roles[n] = droppedRole
			}
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
		n++
		if b[i] == '}' {
			break
		}
		if i++; i >= len(b) { // a comma, or white space
			return
		}
	}
	for c, x := range best {
		if x.rank == 0 || s.roles[x.member] < columns {
			return
		}
		s.roles[x.member] = uint8(c)
	}
	s.n = n
}
