package codec

import "bytes"

// Influx line protocol, which Telegraf sends unless it is told otherwise:
//
//	tail,host=web1,path=/var/log/nginx/access.log value="192.0.2.10 - - […" 1795593680506585000
//
// The fields are the members of a record, with the names that they have; the
// tags are extra members. It is written anew as JSON, and read as that.

// influx adds the record of the line s, or reports it. It returns false if s is
// not in line protocol.
func (d *decoder) influx(s []byte) bool {
	tags := influxEnd(s, 0, ' ')
	if tags < 0 {
		return false
	}
	measurement := influxEnd(s[:tags], 0, ',')
	if measurement < 0 {
		measurement = tags
	}
	out := append(d.b.converted[:0], `{"fields":{`...)
	out, i := influxPairs(out, s, tags+1, ' ')
	if i < 0 {
		return false
	}
	out = append(out, '}')
	at := bytes.TrimSpace(s[i:])
	if len(at) > 0 {
		if digits(at, 0) != len(at) && !(at[0] == '-' && digits(at, 1) == len(at) && len(at) > 1) {
			return false
		}
		out = append(append(out, `,"timestamp":`...), at...)
	}
	out = append(out, `,"name":"`...)
	out = append(influxText(out, s[:measurement]), '"')
	if measurement < tags {
		out = append(out, `,"tags":{`...)
		if out, i = influxPairs(out, s[:tags], measurement+1, 0); i < 0 {
			return false
		}
		out = append(out, '}')
	}
	d.b.converted = append(out, '}')
	d.oneObject(d.b.converted)
	return true
}

// influxEnd returns the index of the first byte c from s[i] on that no backslash
// escapes, or -1.
func influxEnd(s []byte, i int, c byte) int {
	for ; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case c:
			return i
		}
	}
	return -1
}

// influxPairs appends the pairs from s[i] on as the members of an object. They
// end at the byte end, or if it is 0 with s. It returns the index after them, or
// -1 if they are none.
func influxPairs(out, s []byte, i int, end byte) ([]byte, int) {
	for first := true; ; first = false {
		equal := influxEnd(s, i, '=')
		if equal <= i {
			return out, -1
		}
		if !first {
			out = append(out, ',')
		}
		out = append(influxText(append(out, '"'), s[i:equal]), `":`...)
		i = equal + 1
		start := i
		if i < len(s) && s[i] == '"' && end != 0 {
			if i = influxEnd(s, i+1, '"'); i < 0 {
				return out, -1
			}
			out = append(influxText(append(out, '"'), s[start+1:i]), '"')
			i++
		} else {
			for i < len(s) && s[i] != ',' && (end == 0 || s[i] != end) {
				if s[i] == '\\' {
					i++
				}
				i++
			}
			i = min(i, len(s))
			if i == start {
				return out, -1
			}
			out = influxValue(out, s[start:i], end == 0)
		}
		switch {
		case i == len(s):
			return out, i
		case s[i] == ',':
			i++
		case end != 0 && s[i] == end:
			return out, i + 1
		default:
			return out, -1
		}
	}
}

// influxValue appends a value without quotes: a number, which may end in i or u
// for an integer, or a word.
func influxValue(out, v []byte, isTag bool) []byte {
	number0 := v
	if last := v[len(v)-1]; last == 'i' || last == 'u' {
		number0 = v[:len(v)-1]
	}
	if end, ok := number(number0, 0); !isTag && ok && end == len(number0) {
		return append(out, number0...)
	}
	return append(influxText(append(out, '"'), v), '"')
}

// influxText appends text without its backslashes before special characters, as
// JSON has it.
func influxText(out, t []byte) []byte {
	for {
		i := bytes.IndexByte(t, '\\')
		if i < 0 || i+1 == len(t) {
			return AppendText(out, t)
		}
		if bytes.IndexByte([]byte(` ,="\`), t[i+1]) < 0 {
			out = AppendText(out, t[:i+1])
			t = t[i+1:]
			continue
		}
		out = AppendText(AppendText(out, t[:i]), t[i+1:i+2])
		t = t[i+2:]
	}
}
