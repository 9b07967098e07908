package codec

import "bytes"

// Access log lines of Apache, nginx and those that write the same forms:
//
//	192.0.2.10 - frank [10/Oct/2000:13:55:36 -0700] "GET /a.gif HTTP/1.0" 200 2326
//	the same, and "http://example.test/start.html" "Mozilla/5.0"
//	example.test:443 before either
//
// and of load balancers (AWS ALB and the older ELB):
//
//	https 2018-07-02T22:23:00.186641Z app/my-lb/50dc6c495c0c9188 192.0.2.10:2817 10.0.0.1:80 0.086 0.048 0.037 200 200 0 57 "GET https://example.test:443/ HTTP/1.1" "curl/7.46.0" …

// logLine is a line that has been split. Its parts are the bytes of the line; those
// that are "-" or missing are nil.
type logLine struct {
	vhost, remoteAddr, user   []byte
	time                      []byte
	request, referer, agent   []byte
	method, protocol          []byte // where they are columns of their own
	target, query             []byte
	status, bytes             []byte // digits
	rest                      []byte // what follows the user agent
	noRequest                 bool   // path and query are in target and query
	agentIsEncoded, plusSpace bool   // percent-encoded; with + for spaces
	noEscapes                 bool   // a backslash is a backslash
}

// Why a line is not taken.
const (
	noTime        = "is no access log line: it has no time in brackets"
	noRequest     = "is no access log line: no request in quotes follows the time"
	endsInRequest = "is an access log line that breaks off inside the request"
	noStatus      = "is an access log line without a status after the request"
	noSize        = "is an access log line that breaks off before the number of bytes"
	endsInReferer = "is an access log line that breaks off inside the referer"
	noAgent       = "is an access log line that breaks off before the user agent"
	endsInAgent   = "is an access log line that breaks off inside the user agent"
	afterAgent    = "is an access log line with something else right behind the user agent's quote"
	notCommon     = "is an access log line with more than the common form has"
	notCombined   = "is an access log line without the referer and user agent of the combined form"
	notBalancer   = "is no line of a load balancer"
	isDirective   = "is a directive of a W3C extended log file, which is no request"
	noFieldsLine  = "is a line in W3C form without a #Fields line before it"
)

// The most digits of a status, and of a number of bytes.
const (
	maxStatus = 3
	maxBytes  = 18
)

// splitLine splits s, an access log line of form f (Auto, Combined, Common or
// ALB), into l. It returns why it is none, or "".
func (l *logLine) splitLine(s []byte, f Format) string {
	*l = logLine{}
	if f == ALB || f == Auto && isBalancerLine(s) {
		return l.splitBalancer(s)
	}
	open := timeAt(s)
	if open < 0 {
		return noTime
	}
	l.splitHead(s[:open-1])
	end := bytes.IndexByte(s[open:], ']')
	if end < 0 {
		return noTime
	}
	end += open
	l.time = s[open:end]
	i := end + 1
	if len(s)-i < 2 || s[i] != ' ' || s[i+1] != '"' {
		return noRequest
	}
	i += 2
	if end = requestEnd(s, i); end < 0 {
		return endsInRequest
	}
	l.request = s[i:end]
	return l.splitTail(s, end+1, f)
}

// splitTail splits what follows the request: a space, the status, the bytes, and
// in the combined form the referer and the user agent.
func (l *logLine) splitTail(s []byte, i int, f Format) string {
	if len(s)-i < 2 || s[i] != ' ' {
		return noStatus
	}
	var ok bool
	if l.status, i, ok = digitsOrDash(s, i+1); !ok || len(l.status) > maxStatus {
		return noStatus
	}
	if len(s)-i < 2 || s[i] != ' ' {
		return noSize
	}
	if l.bytes, i, ok = digitsOrDash(s, i+1); !ok || len(l.bytes) > maxBytes {
		return noSize
	}
	if i == len(s) {
		if f == Combined {
			return notCombined
		}
		return ""
	}
	if f == Common {
		return notCommon
	}
	if len(s)-i < 2 || s[i] != ' ' || s[i+1] != '"' {
		return noAgent
	}
	end := quoteEnd(s, i+2)
	if end < 0 {
		return endsInReferer
	}
	l.referer = unlessDash(s[i+2 : end])
	if i = end + 1; len(s)-i < 2 || s[i] != ' ' || s[i+1] != '"' {
		return noAgent
	}
	if end = quoteEnd(s, i+2); end < 0 {
		return endsInAgent
	}
	l.agent = s[i+2 : end]
	if i = end + 1; i < len(s) {
		l.rest = unlessDash(bytes.TrimLeft(s[i:], " "))
	}
	return ""
}

// splitHead splits what is before the time: the client, the ident and the user,
// of which only the last can have spaces; and the virtual host before them.
func (l *logLine) splitHead(h []byte) {
	if len(h) > 0 && h[0] == '<' { // syslog: <190>Nov 25 07:32:23 host nginx: and then the line
		if i := bytes.LastIndex(h, []byte(": ")); i >= 0 {
			h = h[i+2:]
		}
	}
	first, rest := word(h)
	second, more := word(rest)
	if third, _ := word(more); len(third) > 0 && isAddress(second) && (hasPort(first) || string(third) == "-") {
		if _, after := word(more); len(after) > 0 {
			l.vhost = first
			first, more = second, after
		}
	}
	l.remoteAddr = unlessDash(first)
	l.user = unlessDash(bytes.TrimRight(more, " "))
	if string(l.user) == `""` { // Apache, of an empty user name
		l.user = nil
	}
}

// word returns what is before the first space of b, and what is after it.
func word(b []byte) (first, rest []byte) {
	if i := bytes.IndexByte(b, ' '); i >= 0 {
		return b[:i], b[i+1:]
	}
	return b, nil
}

// hasPort reports whether b ends in a colon and digits.
func hasPort(b []byte) bool {
	i := len(b)
	for i > 0 && b[i-1]-'0' < 10 {
		i--
	}
	return i > 1 && i < len(b) && b[i-1] == ':'
}

// isAddress reports whether b looks like an IP address.
func isAddress(b []byte) bool {
	points := 0
	for _, c := range b {
		switch {
		case c == '.' || c == ':':
			points++
		case c-'0' > 9 && (c|0x20)-'a' > 5:
			return false
		}
	}
	return points >= 2
}

// timeAt returns the index after the bracket that opens the time: the first one
// after a space with a time behind it.
func timeAt(s []byte) int {
	for from := 0; ; {
		i := bytes.IndexByte(s[from:], '[')
		if i < 0 {
			return -1
		}
		i += from + 1
		if i >= 2 && s[i-2] == ' ' && i < len(s) && s[i]-'0' < 10 {
			return i
		}
		from = i
	}
}

// quoteEnd returns the index of the quote that ends the text at s[i]: one that
// no backslash escapes, with a space or the end of the line behind it. (Some
// write quotes within the text as they are.) It returns -1 if there is none.
func quoteEnd(s []byte, i int) int {
	start := i
	for {
		n := bytes.IndexByte(s[i:], '"')
		if n < 0 {
			return -1
		}
		i += n
		if !escapedAt(s, start, i) && (i+1 == len(s) || s[i+1] == ' ') {
			return i
		}
		i++
	}
}

// requestEnd is quoteEnd for a request, behind which a space and a status are.
func requestEnd(s []byte, i int) int {
	start := i
	last := -1
	for {
		n := bytes.IndexByte(s[i:], '"')
		if n < 0 {
			return last
		}
		i += n
		if !escapedAt(s, start, i) {
			if i+2 < len(s) && s[i+1] == ' ' && (s[i+2]-'0' < 10 || s[i+2] == '-') {
				return i
			}
			if last < 0 {
				last = i
			}
		}
		i++
	}
}

// escapedAt reports whether an odd number of backslashes is before s[i].
func escapedAt(s []byte, start, i int) bool {
	first := i
	for first > start && s[first-1] == '\\' {
		first--
	}
	return (i-first)%2 == 1
}

// digitsOrDash reads digits, or a dash, for which it returns nil, up to a space
// or the end of s.
func digitsOrDash(s []byte, i int) (number []byte, next int, ok bool) {
	if s[i] == '-' {
		next = i + 1
	} else {
		next = digits(s, i)
		number = s[i:next]
	}
	return number, next, next > i && (next == len(s) || s[next] == ' ')
}

// unlessDash returns b, or nil if it is a dash, or nothing.
func unlessDash(b []byte) []byte {
	if len(b) == 0 || len(b) == 1 && b[0] == '-' {
		return nil
	}
	return b
}

// addLine adds the record that l is.
func (d *decoder) addLine(l *logLine) {
	d.begin()
	d.fillLine(l)
	d.keepLine(l)
	d.put()
}

// fillLine makes the values of l those of the record. A line has a path and a
// user agent, even if it does not say which.
func (d *decoder) fillLine(l *logLine) {
	d.noEscapes = l.noEscapes
	if l.time != nil {
		d.readTime(l.time)
	}
	p := dash
	if !l.noRequest {
		l.method, l.target, l.protocol = splitRequest(l.request)
	}
	if t := unlessDash(l.target); t != nil {
		if p = d.pathOfTarget(d.logText(t)); blank(p) {
			p = dash
		}
		if q := unlessDash(l.query); q != nil {
			p = d.join(p, '?', d.logText(q))
		}
	}
	agent := dash
	if a := unlessDash(l.agent); a != nil {
		if l.agentIsEncoded {
			a = d.unpercent(a, l.plusSpace)
		}
		if agent = d.logText(a); blank(agent) {
			agent = dash
		}
	}
	d.fields[path] = field{p, present}
	d.fields[userAgent] = field{agent, present}
}

// keepLine adds what else l has to the extra members of the record.
func (d *decoder) keepLine(l *logLine) {
	if !d.rules.keep {
		return
	}
	x := d.b.extra
	if l.vhost != nil {
		x = d.appendText(append(x, `,"vhost":"`...), l.vhost)
	}
	if l.remoteAddr != nil {
		x = d.appendText(append(x, `,"remoteAddr":"`...), l.remoteAddr)
	}
	if l.user != nil {
		x = d.appendText(append(x, `,"user":"`...), l.user)
	}
	if l.method != nil {
		x = d.appendText(append(x, `,"method":"`...), l.method)
	} else if !l.noRequest && unlessDash(l.request) != nil {
		x = d.appendText(append(x, `,"request":"`...), l.request) // whatever it is
	}
	if l.protocol != nil {
		x = d.appendText(append(x, `,"protocol":"`...), l.protocol)
	}
	if l.status != nil {
		x = appendNumber(append(x, `,"status":`...), l.status)
	}
	if l.bytes != nil {
		x = appendNumber(append(x, `,"bytes":`...), l.bytes)
	}
	if l.referer != nil {
		x = d.appendText(append(x, `,"referer":"`...), l.referer)
	}
	if l.rest != nil {
		x = d.appendText(append(x, `,"rest":"`...), l.rest)
	}
	d.b.extra = x
}
