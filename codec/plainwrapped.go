package codec

// The fast path of access log lines in objects, as Fluent Bit sends them: a time that is a
// number, and the line. The names are those of the object before, so that they are
// compared with its instead of being looked up.

// envelope is what is around the number in the last object of that kind.
type envelope struct {
	table           uint64  // that its names have been looked up in; 0: none is known
	before, between words16 // {"date": and ,"log":"
}

// plainWrapped adds the records of the objects from b[i] on, as long as they are of that
// kind, with the separator between them. It returns the index after the last of them; or 0
// if there is none, and has added nothing then.
func (d *decoder) plainWrapped(b []byte, i int, separator byte) (end int) {
	for i < len(b) && b[i] == '{' && (d.limits.Records <= 0 || d.index < d.limits.Records) {
		after := d.plainEnvelope(b, i)
		if after == 0 {
			break
		}
		if end = after; after == len(b) || b[after] != separator {
			break
		}
		i = after + 1
	}
	return end
}

// plainEnvelope is plainWrapped for one object.
func (d *decoder) plainEnvelope(b []byte, i int) int {
	e := &d.b.envelope
	if i > len(b)-16 || e.table != d.rules.table.id || !e.before.in(b[i:i+16]) {
		if !d.learnEnvelope(b, i) {
			return 0
		}
	}
	after, ok := number(b, i+e.before.length)
	if !ok || after > len(b)-16 || !e.between.in(b[after:after+16]) {
		return 0
	}
	const follows = `"}`
	line := after + e.between.length
	if most := d.limits.SentBytes; most > 0 && line-i+len(follows) > plainAround {
		return 0
	}
	return d.plainWithin(b, line, follows, b[i+1:after])
}

// learnEnvelope makes the object at b[i] the one that is known, if it is of that kind: the
// first name is that of a time, the second that of a line, and neither that of anything else.
func (d *decoder) learnEnvelope(b []byte, i int) bool {
	e := &d.b.envelope
	e.table = 0
	first := i + len(`{"`)
	end := shortText(b, first)
	if i+1 >= len(b) || b[i+1] != '"' || end == 0 || end == len(b) || b[end] != ':' {
		return false
	}
	u, exactly := d.b.recent.find(d.rules.table, nil, b, first, end-1, 0)
	if u == nil || u.rank[timestamp] == 0 || u.reserved && exactly || u.rank[lineUse]+u.rank[path]+u.rank[userAgent] > 0 {
		return false
	}
	after, ok := number(b, end+1)
	if !ok || after+2 >= len(b) || b[after] != ',' || b[after+1] != '"' {
		return false
	}
	second := after + len(`,"`)
	until := shortText(b, second)
	if until == 0 || until+1 >= len(b) || b[until] != ':' || b[until+1] != '"' || i > len(b)-16 || after > len(b)-16 {
		return false
	}
	if u, _ = d.b.recent.find(d.rules.table, nil, b, second, until-1, 1); u == nil || u.rank[lineUse] == 0 || u.rank[timestamp]+u.rank[path]+u.rank[userAgent] > 0 {
		return false
	}
	e.before, e.between = words16Of(b[i:i+16], end+1-i), words16Of(b[after:after+16], until+2-after)
	e.table = d.rules.table.id
	return true
}
