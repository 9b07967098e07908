package codec

import "bytes"

// The text of access log lines: in canonical form, without the escapes that web
// servers write.

// appendNumber appends digits as JSON has them: without zeros before the first.
func appendNumber(dst, digits []byte) []byte {
	for len(digits) > 1 && digits[0] == '0' {
		digits = digits[1:]
	}
	return append(dst, digits...)
}

// appendText appends text of a log line in canonical form, and a quote.
func (d *decoder) appendText(dst, t []byte) []byte {
	if ordinaryEnd(t, 0) < len(t) {
		t = d.logText(t)
	}
	return append(append(dst, t...), '"')
}

// logText returns the text t of a log line in canonical form, without the escapes
// that Apache and nginx write: \" \\ \xhh, and \n and the like.
func (d *decoder) logText(t []byte) []byte {
	if ordinaryEnd(t, 0) == len(t) {
		return t
	}
	if !d.noEscapes && bytes.IndexByte(t, '\\') >= 0 {
		t = d.unescapeLog(t)
	}
	mark := len(d.b.scratch)
	d.b.scratch = AppendText(d.b.scratch, t)
	return d.b.scratch[mark:]
}

// unescapeLog returns t without its escapes, in scratch memory. What is none
// stays as it is.
func (d *decoder) unescapeLog(t []byte) []byte {
	mark := len(d.b.scratch)
	out := d.b.scratch
	for i := 0; i < len(t); {
		n := bytes.IndexByte(t[i:], '\\')
		if n < 0 || i+n+1 == len(t) {
			out = append(out, t[i:]...)
			break
		}
		out = append(out, t[i:i+n]...)
		i += n
		c := t[i+1]
		switch c {
		case '"', '\\', '/':
		case 'n':
			c = '\n'
		case 't':
			c = '\t'
		case 'r':
			c = '\r'
		case 'b':
			c = '\b'
		case 'f':
			c = '\f'
		case 'v':
			c = '\v'
		case 'x':
			if i+3 < len(t) {
				if h := unhex[t[i+2]]<<4 | unhex[t[i+3]]; h >= 0 {
					out = append(out, byte(h))
					i += 4
					continue
				}
			}
			fallthrough
		default:
			out = append(out, '\\')
		}
		out = append(out, c)
		i += 2
	}
	d.b.scratch = out
	return out[mark:]
}

// unpercent returns t without its percent-encoding, in scratch memory. What is
// none stays as it is.
func (d *decoder) unpercent(t []byte, plusSpace bool) []byte {
	mark := len(d.b.scratch)
	out := d.b.scratch
	for i := 0; i < len(t); i++ {
		c := t[i]
		switch {
		case c == '+' && plusSpace:
			c = ' '
		case c == '%' && i+2 < len(t):
			if h := unhex[t[i+1]]<<4 | unhex[t[i+2]]; h >= 0 {
				c = byte(h)
				i += 2
			}
		}
		out = append(out, c)
	}
	d.b.scratch = out
	return out[mark:]
}
