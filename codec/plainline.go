package codec

import "bytes"

// The fast path of access log lines. Most lines of the combined form are alike:
// no user, a request with a path, nothing that needs an escape, the hour of the
// line before. Such a line is copied to its place in the output while it is
// scanned, as CSV is (csv_plain.go).

// plainLine adds the record of the combined line that begins at b[i], and returns
// the index after its last quote. For any other line, and when the output has to
// grow, it returns 0 and has added nothing; the line is then read by the general
// path. Within a JSON string escape is 1, because each quote of the line has a
// backslash before it; otherwise it is 0. The extra members in before, each after
// a comma, are written before those of the line.
func (d *decoder) plainLine(b []byte, i, escape int, before []byte) int {
	const timeBytes, pathAt = 26, hourAt + len(`2026-02-09T15:23:00Z","path":"`)
	start := i
	// The client's address, and no user: everything up to the bracket.
	space := bytes.IndexByte(b[i:min(i+48, len(b))], ' ')
	if space < 1 || i+space+5+timeBytes+2+escape+16 > len(b) || string(b[i+space:i+space+6]) != " - - [" {
		return 0
	}
	address := b[i : i+space]
	for _, c := range address {
		if !isAlphanumeric(c) && c != '.' && c != ':' && c != '-' {
			return 0
		}
	}
	i += space + 6
	at := d.sameCommonHour(b[i : i+timeBytes])
	if at == nil || d.b.clock.hour != d.hour {
		return 0
	}
	i += timeBytes
	if i = opening(b, i, `] `, escape); i == 0 {
		return 0
	}
	// The request: a method of letters, a path, HTTP/1.1 or the like.
	method := i
	for i < len(b) && b[i]-'A' < 26 {
		i++
	}
	if i == method || i+1 >= len(b) || b[i] != ' ' || b[i+1] != '/' {
		return 0
	}
	methodEnd := i
	i++
	line := d.out[len(d.out):cap(d.out)]
	if len(line) < pathAt+len(before)+len(address)+2*(methodEnd-start)+256 {
		return 0
	}
	pathStart := i
	if i = copyQuoted(line[pathAt:], b, i); i >= len(b) {
		return 0
	}
	const protocolBytes = len(" HTTP/1.1")
	pathEnd := i - protocolBytes
	if pathEnd <= pathStart || b[pathEnd-1] == ' ' || string(b[pathEnd:pathEnd+6]) != " HTTP/" || b[i-3]-'0' > 9 || b[i-2] != '.' || b[i-1]-'0' > 9 {
		return 0
	}
	protocol := b[pathEnd+1 : i]
	if i = closing(b, i, escape); i == 0 || i+6 > len(b) || b[i] != ' ' {
		return 0
	}
	// The status and the bytes.
	status := b[i+1 : i+4]
	if status[0]-'1' > 8 || status[1]-'0' > 9 || status[2]-'0' > 9 || b[i+4] != ' ' {
		return 0
	}
	size := i + 5
	i = digits(b, size)
	sizeEnd := i
	if i == size || i-size > 18 || b[size] == '0' && i > size+1 {
		return 0
	}
	if i = opening(b, i, ` `, escape); i == 0 {
		return 0
	}
	// The referer comes after the user agent in the output: only its end is found
	// here.
	referer := i
	quote := bytes.IndexByte(b[i:], '"')
	if quote < escape {
		return 0
	}
	refererEnd := i + quote - escape
	if i = closing(b, refererEnd, escape); i == 0 {
		return 0
	}
	if i = opening(b, i, ` `, escape); i == 0 {
		return 0
	}
	const agentName = `","userAgent":"`
	n := pathAt + pathEnd - pathStart
	n += copy(line[n:], agentName)
	agent := i
	if i = copyQuoted(line[n:], b, i); i >= len(b) || i == agent || !startsNonBlank(b[agent]) {
		return 0
	}
	n += i - agent
	if i = closing(b, i, escape); i == 0 {
		return 0
	}
	if len(line)-n < len(before)+len(address)+(methodEnd-method)+(refererEnd-referer)+160 {
		return 0
	}
	n += copy(line[n:], `"`)
	if d.rules.keep {
		n += copy(line[n:], before)
		n += copy(line[n:], `,"remoteAddr":"`)
		n += copy(line[n:], address)
		n += copy(line[n:], `","method":"`)
		n += copy(line[n:], b[method:methodEnd])
		n += copy(line[n:], `","protocol":"`)
		n += copy(line[n:], protocol)
		n += copy(line[n:], `","status":`)
		n += copy(line[n:], status)
		n += copy(line[n:], `,"bytes":`)
		n += copy(line[n:], b[size:sizeEnd])
		if length := refererEnd - referer; length > 1 || length == 1 && b[referer] != '-' {
			n += copy(line[n:], `,"referer":"`)
			if copyQuoted(line[n:], b, referer) != refererEnd {
				return 0
			}
			n += length
			n += copy(line[n:], `"`)
		}
	} else if ordinary(b, referer) != refererEnd {
		return 0
	}
	copy(line[n:n+2], "}\n")
	n++
	if most := d.limits.RecordBytes; most > 0 && n > most {
		return 0
	}
	if most := d.limits.SentBytes; most > 0 && i-start > most {
		return 0
	}
	copy(line[:hourAt], `{"timestamp":"`)
	copy20(line[hourAt:], at)
	copy(line[hourAt+20:pathAt], `","path":"`)
	d.out = d.out[:len(d.out)+n+1]
	return i
}

// opening returns the index after the text and the quote at b[i], or 0 if
// something else is there.
func opening(b []byte, i int, text string, escape int) int {
	end := i + len(text) + escape
	if end >= len(b) || string(b[i:i+len(text)]) != text {
		return 0
	}
	return closing(b, i+len(text), escape)
}

// closing returns the index after the quote at b[i], or 0 if there is none.
func closing(b []byte, i, escape int) int {
	if i+escape >= len(b) || b[i+escape] != '"' || escape == 1 && b[i] != '\\' {
		return 0
	}
	return i + escape + 1
}

// plainLines adds the records of the lines from b[i] on, as long as they are
// plain, and returns the index after them.
func (d *decoder) plainLines(b []byte, i int) int {
	for i < len(b) && (isAlphanumeric(b[i]) || b[i] == ':') && d.over == nil {
		if d.limits.Records > 0 && d.index >= d.limits.Records {
			return i
		}
		length := len(d.out)
		end := d.plainLine(b, i, 0, nil)
		switch {
		case end == 0:
			return i
		case end == len(b):
		case b[end] == '\n':
			end++
		case crlf(b[end:]):
			end += len("\r\n")
		default: // the line goes on behind the user agent: not a plain one
			d.out = d.out[:length]
			return i
		}
		d.good++
		d.index++
		i = end
	}
	return i
}

// plainWrapped adds the record of an object at b[i] such as Fluent Bit sends: a
// time that is a number, and a plain line. It returns the index after it. For
// anything else it returns 0 and has added nothing.
func (d *decoder) plainWrapped(b []byte, i int) int {
	start := i
	if i+2 >= len(b) || b[i+1] != '"' || d.limits.Records > 0 && d.index >= d.limits.Records {
		return 0
	}
	i += 2
	end := shortText(b, i)
	if end == 0 || end == len(b) || b[end] != ':' {
		return 0
	}
	u, exactly := d.b.recent.find(d.rules.table, nil, b, i, end-1, 0)
	if u == nil || u.rank[timestamp] == 0 || u.reserved && exactly || u.rank[lineUse]+u.rank[path]+u.rank[userAgent] > 0 {
		return 0
	}
	after, ok := number(b, end+1)
	if !ok || after+2 >= len(b) || b[after] != ',' || b[after+1] != '"' {
		return 0
	}
	name := after + 2
	if end = shortText(b, name); end == 0 || end+1 >= len(b) || b[end] != ':' || b[end+1] != '"' {
		return 0
	}
	if u, _ = d.b.recent.find(d.rules.table, nil, b, name, end-1, 1); u == nil || u.rank[lineUse] == 0 || u.rank[timestamp]+u.rank[path]+u.rank[userAgent] > 0 {
		return 0
	}
	before := append(append(d.b.extra[:0], ','), b[start+1:after]...)
	d.b.extra = before
	length := len(d.out)
	i = d.plainLine(b, end+2, 1, before)
	if i == 0 {
		return 0
	}
	if i+1 < len(b) && b[i] == '\\' && b[i+1] == 'n' { // the end of the line, if the shipper keeps it
		i += 2
	}
	if most := d.limits.SentBytes; i+1 >= len(b) || b[i] != '"' || b[i+1] != '}' || most > 0 && i+2-start > most {
		d.out = d.out[:length]
		return 0
	}
	d.good++
	d.index++
	return i + 2
}
