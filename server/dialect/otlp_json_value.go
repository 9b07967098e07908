package dialect

// Values of OTLP in its JSON form, written as plain JSON.

// maxValueDepth bounds the nesting of one OTLP value.
const maxValueDepth = 32

// appendAttributesJSON appends a list of KeyValue as members, each with a comma
// before it. It returns the index after the list, or -1.
func appendAttributesJSON(dst, b []byte, i, depth int) ([]byte, int) {
	if depth > maxValueDepth {
		return dst, -1
	}
	end := listOrNull(b, i, func(i int) int {
		var key, value span
		end := members(b, i, func(name []byte, i int) int {
			end := valueEnd(b, i)
			switch {
			case end < 0:
			case string(name) == "key":
				key = span{i, end}
			case string(name) == "value":
				value = span{i, end}
			}
			return end
		})
		if end < 0 || key.end == 0 || b[key.start] != '"' {
			return -1
		}
		dst = append(dst, ',')
		dst = append(dst, b[key.start:key.end]...)
		dst = append(dst, ':')
		var ok int
		if dst, ok = appendValueJSON(dst, b, value, depth+1); ok < 0 {
			return -1
		}
		return end
	})
	return dst, end
}

// appendBodyJSON appends the body of a record: the members of a map, or else a
// member of that name.
func appendBodyJSON(dst, b []byte, i int) ([]byte, int) {
	list := span{}
	end := members(b, i, func(name []byte, i int) int {
		end := valueEnd(b, i)
		if either(name, "kvlistValue", "kvlist_value") && end >= 0 {
			list = span{i, end}
		}
		return end
	})
	if end < 0 {
		return dst, -1
	}
	if list.end > 0 {
		ok := members(b, list.start, func(name []byte, i int) int {
			if string(name) != "values" {
				return valueEnd(b, i)
			}
			var end int
			dst, end = appendAttributesJSON(dst, b, i, 1)
			return end
		})
		return dst, ok
	}
	dst = append(dst, `,"`+bodyName+`":`...)
	return appendValueJSON(dst, b, span{i, end}, 1)
}

// appendValueJSON appends an AnyValue as plain JSON; none is null.
func appendValueJSON(dst, b []byte, value span, depth int) ([]byte, int) {
	if value.end == 0 || b[value.start] == 'n' {
		return append(dst, "null"...), 0
	}
	if depth > maxValueDepth {
		return dst, -1
	}
	written := false
	end := members(b, value.start, func(name []byte, i int) int {
		end := valueEnd(b, i)
		if end < 0 || written || b[i] == 'n' {
			return end
		}
		written = true
		raw := b[i:end]
		var ok int
		switch {
		case either(name, "stringValue", "string_value"), either(name, "bytesValue", "bytes_value"):
			if raw[0] != '"' {
				return -1
			}
			dst = append(dst, raw...)
		case either(name, "intValue", "int_value"):
			if raw[0] == '"' {
				raw = raw[1 : len(raw)-1]
			}
			if numberEnd(raw, 0) != len(raw) {
				return -1
			}
			dst = append(dst, raw...)
		case either(name, "boolValue", "bool_value"), either(name, "doubleValue", "double_value"):
			dst = append(dst, raw...)
		case either(name, "arrayValue", "array_value"):
			if dst, ok = appendArrayJSON(dst, b, i, depth); ok < 0 {
				return -1
			}
		case either(name, "kvlistValue", "kvlist_value"):
			if dst, ok = appendMapJSON(dst, b, i, depth); ok < 0 {
				return -1
			}
		default:
			written = false
		}
		return end
	})
	if !written && end >= 0 {
		dst = append(dst, "null"...)
	}
	return dst, end
}

func appendArrayJSON(dst, b []byte, i, depth int) ([]byte, int) {
	dst = append(dst, '[')
	first := true
	end := members(b, i, func(name []byte, i int) int {
		if string(name) != "values" {
			return valueEnd(b, i)
		}
		return listOrNull(b, i, func(i int) int {
			if !first {
				dst = append(dst, ',')
			}
			first = false
			end := valueEnd(b, i)
			if end < 0 {
				return -1
			}
			var ok int
			if dst, ok = appendValueJSON(dst, b, span{i, end}, depth+1); ok < 0 {
				return -1
			}
			return end
		})
	})
	return append(dst, ']'), end
}

func appendMapJSON(dst, b []byte, i, depth int) ([]byte, int) {
	start := len(dst)
	end := members(b, i, func(name []byte, i int) int {
		if string(name) != "values" {
			return valueEnd(b, i)
		}
		var end int
		dst, end = appendAttributesJSON(dst, b, i, depth+1)
		return end
	})
	if len(dst) > start {
		dst[start] = '{' // instead of the first comma
	} else {
		dst = append(dst, '{')
	}
	return append(dst, '}'), end
}
