package codec

// Times written to their place in the output at once, without a copy in between.

// writeMoment writes the canonical text of the time s, of any kind, to dst, which has room
// for 32 bytes, and returns its length; or 0 if it is no time.
func (d *decoder) writeMoment(dst, s []byte) int {
	t, bad := d.moment(s)
	if bad != 0 {
		return 0
	}
	return copy(dst, t)
}

// writeTime is writeMoment for a time of the hour that is remembered, in canonical form or
// with milliseconds whatever their digits. For any other it returns 0.
func (d *decoder) writeTime(dst, s []byte) int {
	const sixBytes = 1<<48 - 1
	switch c := &d.b.clock; {
	case len(s) == 20 && c.is(s) && isSecond(load(s, 12)>>8, 0):
		copy20(dst, s)
		return 20
	case len(s) == 24 && c.is(s) && isSecond(load(s, 13)&sixBytes|'Z'<<48, 0) && s[19] == '.' && s[23] == 'Z':
		if s[20]-'0' > 9 || s[21]-'0' > 9 || s[22]-'0' > 9 {
			return 0
		}
		copy(dst[:16], s[:16])
		copy(dst[16:24], s[16:24])
		end := 23
		for s[end-1] == '0' && end > 20 {
			end--
		}
		if end == 20 { // without the point
			end = 19
		}
		dst[end] = 'Z'
		return end + 1
	}
	return 0
}
