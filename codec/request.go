package codec

import "bytes"

// The request line, METHOD target PROTOCOL, and the path that a target is.

// pathOf returns the path of a value that shippers send as one: the value itself,
// the path and query of an absolute URL, or the target of a request line. For a
// value that has to be a request line and is none it is "-". All are canonical
// text, in which spaces and slashes are not escaped.
func (d *decoder) pathOf(t []byte, isRequest bool) []byte {
	if t[0] == '/' {
		return t
	}
	_, target, protocol := splitRequest(t)
	if len(target) > 0 && (isRequest || len(protocol) > 0) {
		return d.pathOfTarget(target)
	}
	p := d.pathOfTarget(t)
	if isRequest && len(p) == len(t) { // neither a request line nor a URL
		return dash
	}
	return p
}

// pathOfTarget returns the path and query of a target that is an absolute URL;
// any other is returned as it is.
func (d *decoder) pathOfTarget(t []byte) []byte {
	if len(t) == 0 || t[0] == '/' || (t[0]|0x20)-'a' > 'z'-'a' {
		return t
	}
	scheme := 1
	for scheme < len(t) && (isAlphanumeric(t[scheme]) || t[scheme] == '+' || t[scheme] == '-' || t[scheme] == '.') {
		scheme++
	}
	if !bytes.HasPrefix(t[scheme:], []byte("://")) {
		return t
	}
	rest := t[scheme+3:]
	if i := bytes.IndexByte(rest, '#'); i >= 0 {
		rest = rest[:i]
	}
	switch i := bytes.IndexAny(rest, "/?"); {
	case i < 0:
		return slash
	case rest[i] == '?':
		return d.join(nil, '/', rest[i:])
	default:
		return rest[i:]
	}
}

var slash = []byte("/")

func isAlphanumeric(c byte) bool { return (c|0x20)-'a' < 26 || c-'0' < 10 }

// splitRequest splits a request line. The target is empty if r is none, as in
// "GET", "-" or the first bytes of a TLS handshake; the method is then r, if it
// could be one. A line without a protocol, of HTTP/0.9, has a target that begins
// as targets do. The target may have spaces.
func splitRequest(r []byte) (method, target, protocol []byte) {
	i := 0
	for i < len(r) && (isAlphanumeric(r[i]) || r[i] == '-' || r[i] == '_') {
		i++
	}
	if i == 0 || (r[0]|0x20)-'a' > 'z'-'a' {
		return nil, nil, nil
	}
	method = r[:i]
	if i == len(r) {
		return method, nil, nil
	}
	if r[i] != ' ' {
		return nil, nil, nil
	}
	rest := bytes.Trim(r[i:], " ")
	if last := bytes.LastIndexByte(rest, ' '); last > 0 && isProtocol(rest[last+1:]) {
		return method, bytes.TrimRight(rest[:last], " "), rest[last+1:]
	}
	switch {
	case len(rest) == 0:
		return method, nil, nil
	case isProtocol(rest): // a target is missing
		return method, nil, rest
	case rest[0] == '/' || string(rest) == "*" || bytes.Contains(rest, []byte("://")):
		return method, rest, nil
	}
	return nil, nil, nil
}

// isProtocol reports whether p is HTTP/1.1 or the like.
func isProtocol(p []byte) bool {
	i := bytes.IndexByte(p, '/')
	if i < 1 || i+1 >= len(p) || p[i+1]-'0' > 9 {
		return false
	}
	for _, c := range p[:i] {
		if (c|0x20)-'a' > 'z'-'a' {
			return false
		}
	}
	for _, c := range p[i+1:] {
		if c-'0' > 9 && c != '.' {
			return false
		}
	}
	return true
}

// isRequest reports whether the values of the name are request lines.
func (u *use) isRequest() bool { return u.name == "request" || u.name == "fields.request" }
