package codec

// Values that are not kept still have to be JSON (RFC 8259): skip reads them.
// It does not recurse, so that no nesting, however deep, costs more than a bit
// a level.

// skip reads the value at b[i], which is not white space, and returns the
// index after it; or, if it is not JSON, reports that and returns a negative
// index. Where it is nested too deeply it sets d.deep, and reads on.
func (d *decoder) skip(b []byte, i int) int {
	depth := 0       // arrays and objects that are open
	inArray := false // the innermost one is an array
value:
	if i == len(b) {
		return d.syntax(b, i, "where a value was expected")
	}
	switch c := b[i]; c {
	case '"':
		i = d.skipText(b, i+1)
	case '{', '[':
		depth++
		if d.limits.Depth > 0 && depth > d.limits.Depth {
			d.deep = true
		}
		d.b.push(depth, inArray)
		inArray = c == '['
		i = blanks(b, i+1)
		if i < len(b) && b[i] == c+2 { // ] and } are two after [ and {
			i++
			inArray = d.b.pop(depth)
			depth--
			break
		}
		if inArray {
			goto value
		}
		goto name
	case 't':
		i = d.word(b, i, "true")
	case 'f':
		i = d.word(b, i, "false")
	case 'n':
		i = d.word(b, i, "null")
	default:
		end, ok := number(b, i)
		if !ok {
			where := "where a value was expected"
			if end > i {
				where = "in a number"
			}
			return d.syntax(b, end, where)
		}
		i = end
	}
	if i < 0 {
		return i
	}
after:
	if depth == 0 {
		return i
	}
	i = blanks(b, i)
	switch {
	case i < len(b) && b[i] == ',':
		i = blanks(b, i+1)
		if inArray {
			goto value
		}
	case i < len(b) && (inArray && b[i] == ']' || !inArray && b[i] == '}'):
		i++
		inArray = d.b.pop(depth)
		depth--
		goto after
	default:
		return d.syntax(b, i, "where a comma or an end was expected")
	}
name:
	if i == len(b) || b[i] != '"' {
		return d.syntax(b, i, "where a member's name was expected")
	}
	if i = d.skipText(b, i+1); i < 0 {
		return i
	}
	if i = blanks(b, i); i == len(b) || b[i] != ':' {
		return d.syntax(b, i, "where a colon was expected")
	}
	i = blanks(b, i+1)
	goto value
}

// push and pop keep, a bit a level, whether the level outside the one numbered
// depth is an array.
func (b *Batch) push(depth int, inArray bool) {
	word, bit := depth/64, uint64(1)<<(depth%64)
	if word == len(b.nesting) {
		b.nesting = append(b.nesting, 0)
	}
	if inArray {
		b.nesting[word] |= bit
	} else {
		b.nesting[word] &^= bit
	}
}

func (b *Batch) pop(depth int) (inArray bool) {
	return b.nesting[depth/64]>>(depth%64)&1 != 0
}

// word reads true, false or null.
func (d *decoder) word(b []byte, i int, want string) int {
	for j := range len(want) {
		if i+j == len(b) || b[i+j] != want[j] {
			return d.syntax(b, i+j, "in "+want)
		}
	}
	return i + len(want)
}

// number reads a number at b[i] and returns the index after it; or of the byte
// at which it is none.
func number(b []byte, i int) (int, bool) {
	if i < len(b) && b[i] == '-' {
		i++
	}
	end := digits(b, i)
	if end == i {
		return i, false
	}
	if b[i] == '0' {
		end = i + 1 // no digit may follow
	}
	if i = end; i < len(b) && b[i] == '.' {
		i++
		if end = digits(b, i); end == i {
			return i, false
		}
		i = end
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		if i++; i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		if end = digits(b, i); end == i {
			return i, false
		}
		i = end
	}
	return i, true
}

func digits(b []byte, i int) int {
	for i < len(b) && b[i]-'0' < 10 {
		i++
	}
	return i
}
