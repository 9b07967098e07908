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
	const maxAddress, timeBytes, pathAt = 47, 26, hourAt + len(`2026-02-09T15:23:00Z","path":"`)
	start := i
	// The client's address, and no user: everything up to the bracket.
	for i < min(start+maxAddress, len(b)) && inAddress[b[i]] {
		i++
	}
	address := b[start:i]
	if i == start || i+5+timeBytes+2+escape+16 > len(b) || string(b[i:i+6]) != " - - [" {
		return 0
	}
	i += len(" - - [")
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
	protocol := pathEnd + 1
	if i = closing(b, i, escape); i == 0 || i+6 > len(b) || b[i] != ' ' {
		return 0
	}
	// The status and the bytes.
	status := i + 1
	if b[status]-'1' > 8 || b[status+1]-'0' > 9 || b[status+2]-'0' > 9 || b[i+4] != ' ' {
		return 0
	}
	size := i + 5
	i = digits(b, size)
	sizeEnd := i
	if i == size || i-size > 18 || b[size] == '0' && i > size+1 {
		return 0
	}
	if i = opening(b, i, ` `, escape); i == 0 || i == len(b) {
		return 0
	}
	// The referer comes after the user agent in the output: only its end is found
	// here.
	referer, refererEnd := i, i+1
	if b[i] != '-' || closing(b, refererEnd, escape) == 0 {
		quote := bytes.IndexByte(b[i:], '"')
		if quote < escape {
			return 0
		}
		refererEnd = i + quote - escape
	}
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
	// What follows has room, and 16 bytes behind it: pieces are copied as that many,
	// up to maxAddress.
	if len(line)-n < len(before)+(methodEnd-method)+(refererEnd-referer)+200+maxAddress {
		return 0
	}
	line[n] = '"'
	n++
	if d.rules.keep {
		if len(before) > 0 {
			n += copy(line[n:], before)
		}
		copy(line[n:n+15], `,"remoteAddr":"`)
		n += 15
		for k := 0; k < len(address); k += 16 {
			copy(line[n+k:n+k+16], b[start+k:start+k+16])
		}
		n += len(address)
		copy(line[n:n+12], `","method":"`)
		n += 12
		if methodEnd-method <= 8 {
			copy(line[n:n+8], b[method:method+8])
		} else {
			copy(line[n:], b[method:methodEnd])
		}
		n += methodEnd - method
		copy(line[n:n+14], `","protocol":"`)
		copy(line[n+14:n+22], b[protocol:protocol+8])
		copy(line[n+22:n+33], `","status":`)
		copy(line[n+33:n+36], b[status:status+3])
		copy(line[n+36:n+45], `,"bytes":`)
		n += 45
		if size+24 <= len(b) {
			copy(line[n:n+24], b[size:size+24]) // at most 18 of them are digits
		} else {
			copy(line[n:], b[size:sizeEnd])
		}
		n += sizeEnd - size
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

// inAddress marks what the address or the name of a client has.
var inAddress = func() (t [256]bool) {
	for c := range t {
		t[c] = isAlphanumeric(byte(c)) || c == '.' || c == ':' || c == '-'
	}
	return t
}()

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

// plainRecord adds the record of a plain line that s has to be, with nothing behind
// it but a line end. The extra members, without a comma before the first, come before
// those of the line. For anything else it reports false and has added nothing.
func (d *decoder) plainRecord(s, extra []byte) bool {
	length := len(d.out)
	end := d.plainExtra(s, 0, 0, extra)
	if end == 0 {
		return false
	}
	if rest := s[end:]; len(rest) > 0 && string(rest) != "\n" && string(rest) != "\r\n" {
		d.out = d.out[:length]
		return false
	}
	d.good++
	d.index++
	return true
}

// plainAround is how many bytes may be sent with a plain line, at most, which count
// for the limit of its record.
const plainAround = 128

// plainWithin is plainRecord for a line in a JSON string, of which the text follows
// is the end. It returns the index after that, or 0.
func (d *decoder) plainWithin(b []byte, i int, follows string, extra []byte) int {
	length, start := len(d.out), i
	if i = d.plainExtra(b, i, 1, extra); i == 0 {
		return 0
	}
	if i+1 < len(b) && b[i] == '\\' && b[i+1] == 'n' { // the end of the line, if the shipper keeps it
		i += 2
	}
	end := i + len(follows)
	if most := d.limits.SentBytes; end > len(b) || string(b[i:end]) != follows || most > 0 && end-start+plainAround > most {
		d.out = d.out[:length]
		return 0
	}
	d.good++
	d.index++
	return end
}

// plainExtra is plainLine with extra members that have no comma before the first.
func (d *decoder) plainExtra(b []byte, i, escape int, extra []byte) int {
	if !d.rules.shipper || d.b.extended.known || i >= len(b) || !inAddress[b[i]] {
		return 0
	}
	var before []byte
	if len(extra) > 0 && d.rules.keep {
		before = append(append(d.b.extra[:0], ','), extra...)
		d.b.extra = before
	}
	return d.plainLine(b, i, escape, before)
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
	if most := d.limits.SentBytes; most > 0 && name-start > plainAround {
		return 0
	}
	return d.plainWithin(b, end+2, `"}`, b[start+1:after])
}
