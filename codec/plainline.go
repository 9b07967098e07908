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
// backslash before it; otherwise it is 0. The extra members in before, without a
// comma before the first, are written before those of the line, if they are kept.
func (d *decoder) plainLine(b []byte, i, escape int, before []byte) int {
	const maxAddress, timeBytes, pathAt = 47, 26, hourAt + len(`2026-02-09T15:23:00Z","path":"`)
	start := i
	// The client's address or name, and no user: everything up to the bracket.
	if i = wordEnd(b, i); i == start || i > start+maxAddress || i+6+timeBytes+2+escape+16 > len(b) || string(b[i:i+6]) != " - - [" {
		return 0
	}
	address := b[start:i]
	if len(address) == 1 && address[0] == '-' || b[start+4] == '-' && b[start+7] == '-' { // nobody; the date of a load balancer
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
	// The referer comes after the user agent in the output: only its end is found
	// here.
	var referer, refererEnd int
	if n := refererless(b, i, escape); n > 0 {
		i += n
	} else {
		if i = opening(b, i, ` `, escape); i == 0 {
			return 0
		}
		quote := bytes.IndexByte(b[i:], '"')
		if quote < escape {
			return 0
		}
		referer, refererEnd = i, i+quote-escape
		if i = closing(b, refererEnd, escape); i == 0 {
			return 0
		}
		if i = opening(b, i, ` `, escape); i == 0 {
			return 0
		}
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
			line[n] = ','
			n += 1 + copy(line[n+1:], before)
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
	} else if refererEnd > 0 && ordinary(b, referer) != refererEnd {
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

// wordEnd returns the index of the first byte from b[i] on that is a space, or cannot be
// copied as it is; or, near the end of b, any before that.
func wordEnd(b []byte, i int) int {
	for ; i <= len(b)-8; i += 8 {
		w := load(b, i)
		if m := (marks(w) | (w - 0x21*ones)) & highs; m != 0 {
			return i + firstMark(m)
		}
	}
	return i
}

// inAddress marks what the address or the name of a client may begin with.
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

// refererless returns the length of what is between the bytes and the user agent of a
// line without a referer, or 0 if something else is at b[i].
func refererless(b []byte, i, escape int) int {
	const plain, escaped = ` "-" "`, ` \"-\" \"`
	switch {
	case escape == 0 && i <= len(b)-len(plain) && string(b[i:i+len(plain)]) == plain:
		return len(plain)
	case escape == 1 && i <= len(b)-len(escaped) && string(b[i:i+len(escaped)]) == escaped:
		return len(escaped)
	}
	return 0
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

// plainExtra is plainLine for a line by itself.
func (d *decoder) plainExtra(b []byte, i, escape int, extra []byte) int {
	if !d.rules.shipper || d.b.extended.known || i >= len(b) || !inAddress[b[i]] {
		return 0
	}
	return d.plainLine(b, i, escape, extra)
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
