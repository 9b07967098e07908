package codec

import "bytes"

// Access log lines of AWS load balancers: fields with a space between them, of
// which those in quotes may have spaces.

// balancerFields is how many fields a line has up to the user agent; that of a
// classic load balancer does not begin with the type.
const balancerFields = 14

// isBalancerLine reports whether s begins as the lines of a load balancer do.
func isBalancerLine(s []byte) bool {
	kind, rest := word(s)
	switch string(kind) {
	case "http", "https", "h2", "grpcs", "ws", "wss":
		return isDate(rest)
	}
	return isDate(s) && bytes.IndexByte(kind, 'T') == 10 && kind[len(kind)-1] == 'Z'
}

// isDate reports whether s begins with a date such as 2026-02-09.
func isDate(s []byte) bool {
	return len(s) > 20 && s[4] == '-' && s[7] == '-' && two(s) >= 0 && two(s[2:]) >= 0 && two(s[5:]) >= 0 && two(s[8:]) >= 0
}

// splitBalancer splits s into l. It returns why it is no such line, or "".
func (l *logLine) splitBalancer(s []byte) string {
	var fields [balancerFields][]byte
	n := 1
	if isDate(s) {
		fields[0] = s[:0] // a classic load balancer writes no type
	} else {
		n = 0
	}
	for i := 0; n < balancerFields; n++ {
		switch {
		case i >= len(s):
			return notBalancer + ": it breaks off"
		case s[i] == '"':
			end := quoteEnd(s, i+1)
			if end < 0 {
				return notBalancer + ": it breaks off inside quotes"
			}
			fields[n] = s[i+1 : end]
			i = end + 2
		default:
			end := bytes.IndexByte(s[i:], ' ')
			if end < 0 {
				end = len(s) - i
			}
			fields[n] = s[i : i+end]
			i += end + 1
		}
		if n == balancerFields-1 && i < len(s) {
			l.rest = unlessDash(bytes.TrimLeft(s[i:], " "))
		}
	}
	const timeField, client, status, sent, request, agent = 1, 3, 8, 11, 12, 13
	var ok bool
	if l.status, ok = wholeNumber(fields[status]); !ok || len(l.status) > maxStatus {
		return notBalancer + ": it has no status where it should be"
	}
	if l.bytes, ok = wholeNumber(fields[sent]); !ok || len(l.bytes) > maxBytes {
		return notBalancer + ": it has no number of bytes where it should be"
	}
	l.time = fields[timeField]
	l.remoteAddr = unlessDash(fields[client])
	if i := bytes.LastIndexByte(l.remoteAddr, ':'); i > 0 {
		l.remoteAddr = unlessDash(bytes.Trim(l.remoteAddr[:i], "[]"))
	}
	l.request = fields[request]
	l.agent = fields[agent]
	return ""
}

// wholeNumber is digitsOrDash for all of b.
func wholeNumber(b []byte) (number []byte, ok bool) {
	if len(b) == 0 {
		return nil, false
	}
	number, next, ok := digitsOrDash(b, 0)
	return number, ok && next == len(b)
}
