package codec

import (
	"math"
	"math/bits"
)

// Timestamps: RFC 3339 in, the canonical UTC text and the hour out, without
// time.Time in between. Records of a batch mostly fall into the hour of the
// record before, so the last date and the last hour are remembered.

// The hours that can be written with a year of four digits.
const (
	minHour Hour = -719528 * 24       // 0000-01-01T00
	maxHour Hour = (2932896+1)*24 - 1 // 9999-12-31T23
	noHour  Hour = math.MinInt64      // no record's
)

// fault is why a timestamp is refused; the zero value is none.
type fault uint8

const (
	faultForm fault = iota + 1
	faultDate
	faultClock
	faultLeap
	faultFraction
	faultOffset
	faultRange
	faultKind
)

var faults = [...]string{
	faultForm:     "is not an RFC 3339 timestamp such as 2026-02-09T15:23:00Z",
	faultDate:     "is not a date of the calendar",
	faultClock:    "is not a time of day",
	faultLeap:     "is a leap second; they are not supported",
	faultFraction: "has more than 9 fraction digits",
	faultOffset:   "has an offset that does not exist",
	faultRange:    "is outside the years 0000 to 9999 in UTC",
	faultKind:     "is not a time that is known, such as 2026-02-09T15:23:00Z, 09/Feb/2026:15:23:00 +0000 or 1770650580",
}

// clock remembers the last hour and the last date. reset makes it ready.
type clock struct {
	hour Hour
	text [13]byte // the hour's text, 2026-02-09T15
	// The same text as two overlapping words, bytes 0 to 7 and 5 to 12.
	head, tail uint64
	// The last date that was not in the text's own hour: its text, and the
	// days from the epoch.
	date [10]byte
	days int
}

func (c *clock) reset() {
	// These words overlap by three bytes in which they differ: no text is both.
	*c = clock{hour: noHour, head: math.MaxUint64}
}

// clockSecond is `:00:00Z` and the byte that ends a timestamp; a canonical one
// differs from it in four digits only.
const clockSecond = ':' | '0'<<8 | '0'<<16 | ':'<<24 | '0'<<32 | '0'<<40 | 'Z'<<48

// sixty is added to the eight bytes after they have been compared with
// clockSecond, which leaves a digit as its number and any byte that is right as
// zero. Each byte of sixty is such that the sum reaches 0x80 exactly where the
// byte is too large: for the tens of minutes it is 0x7f-5, so that 5 gives 0x7f and
// 6 gives 0x80; for the units it is 0x7f-9; for what has to be zero it is 0x7f.
const sixty = 0x7f | (0x7f-5)<<8 | (0x7f-9)<<16 | 0x7f<<24 | (0x7f-5)<<32 | (0x7f-9)<<40 | 0x7f<<48 | 0x7f<<56

// isSecond reports whether w is `:MM:SSZ` and end, with MM and SS below 60.
func isSecond(w uint64, end byte) bool {
	w ^= clockSecond | uint64(end)<<56
	return (w+sixty|w)&highs == 0
}

// set makes h, whose text begins s, the hour that is remembered.
func (c *clock) set(h Hour, s []byte) {
	c.hour = h
	copy(c.text[:], s)
	c.head, c.tail = load(c.text[:], 0), load(c.text[:], 5)
}

// is reports whether s, of at least 13 bytes, begins with the remembered hour.
func (c *clock) is(s []byte) bool { return load(s, 0) == c.head && load(s, 5) == c.tail }

// quoted reports whether s begins with a canonical timestamp of the remembered
// hour, without a fraction, and a quote after it.
func (c *clock) quoted(s []byte) bool {
	return len(s) > 20 && c.is(s) && isSecond(load(s, 13), '"')
}

// write writes the canonical text of the timestamp s to dst, which has room for
// 30 bytes, and returns its length. Its hour is the one remembered then.
func (c *clock) write(dst, s []byte) (int, fault) {
	if len(s) == 20 && c.is(s) && isSecond(load(s, 12)>>8, 0) {
		copy20(dst, s)
		return 20, 0
	}
	return c.writeAny(dst, s)
}

// copy20 copies 20 bytes in two moves, where copy would call a function.
func copy20(dst, s []byte) {
	copy(dst[:16], s[:16])
	copy(dst[12:20], s[12:20])
}

// writeAny is write for every form there is.
func (c *clock) writeAny(dst, s []byte) (int, fault) {
	if len(s) < 20 || s[4] != '-' || s[7] != '-' || s[10]|0x20 != 't' || s[13] != ':' || s[16] != ':' {
		return 0, faultForm
	}
	days, bad := c.daysOf(s)
	if bad != 0 {
		return 0, bad
	}
	hh, mm, ss := two(s[11:]), two(s[14:]), two(s[17:])
	switch {
	case hh < 0 || mm < 0 || ss < 0:
		return 0, faultForm
	case ss == 60 && hh < 24 && mm < 60:
		return 0, faultLeap
	case hh > 23 || mm > 59 || ss > 59:
		return 0, faultClock
	}
	frac, zone := s[19:19], s[19:]
	if zone[0] == '.' {
		n, significant := fractionDigits(zone[1:])
		switch {
		case n == 0 || n+1 == len(zone):
			return 0, faultForm
		case n > 9:
			return 0, faultFraction
		case significant > 0:
			frac = zone[:significant+1]
		}
		zone = zone[n+1:]
	}
	if len(zone) != 1 || zone[0]|0x20 != 'z' {
		offset, bad := offsetOf(zone)
		if bad != 0 {
			return 0, bad
		}
		mm += hh*60 - offset
		hh = floorDiv(mm, 60)
		mm -= hh * 60
	}
	h := Hour(days*24 + hh)
	if h != c.hour {
		if h < minHour || h > maxHour {
			return 0, faultRange
		}
		c.remember(h)
	}
	copy(dst[:13], c.text[:])
	copy(dst[13:19], ":00:00")
	dst[14], dst[15] = '0'+byte(mm/10), '0'+byte(mm%10)
	dst[17], dst[18] = s[17], s[18]
	n := 19 + copy(dst[19:], frac)
	dst[n] = 'Z'
	return n + 1, 0
}

// fractionDigits returns how many digits s begins with, and how many of them
// are left without the zeros at the end, which counts for up to nine.
func fractionDigits(s []byte) (n, significant int) {
	if len(s) >= 8 {
		w := load(s, 0) ^ '0'*ones
		if (w+0x76*ones|w)&highs == 0 { // eight digits
			n, significant = 8, 8-bits.LeadingZeros64(w)/8
		}
	}
	for ; n < len(s) && s[n]-'0' < 10; n++ {
		if s[n] != '0' {
			significant = n + 1
		}
	}
	return n, significant
}

// canonicalHour reads the hour that s, of at least 13 bytes, begins with in
// canonical form, and remembers it in c. It reports false, and remembers nothing,
// where s is anything else.
func (c *clock) canonicalHour(s []byte) (ok bool) {
	if s[4] != '-' || s[7] != '-' || s[10] != 'T' {
		return false
	}
	days, bad := c.daysOf(s)
	hh := two(s[11:])
	if bad != 0 || uint(hh) > 23 {
		return false
	}
	c.set(Hour(days*24+hh), s[:13])
	return true
}

// daysOf returns the days from the epoch to the date that s begins with. The
// caller has checked the two hyphens.
func (c *clock) daysOf(s []byte) (int, fault) {
	if string(s[:10]) == string(c.date[:]) {
		return c.days, 0
	}
	y1, y2, m, d := two(s), two(s[2:]), two(s[5:]), two(s[8:])
	if y1 < 0 || y2 < 0 || m < 0 || d < 0 {
		return 0, faultForm
	}
	y := y1*100 + y2
	if m < 1 || m > 12 || d < 1 || d > daysIn(y, m) {
		return 0, faultDate
	}
	c.days = daysFromCivil(y, m, d)
	copy(c.date[:], s)
	return c.days, 0
}

// remember makes h the remembered hour, and writes its text.
func (c *clock) remember(h Hour) {
	days := floorDiv(int(h), 24)
	hh := int(h) - days*24
	y, m, d := civilFromDays(days)
	c.set(h, []byte{
		'0' + byte(y/1000), '0' + byte(y/100%10), '0' + byte(y/10%10), '0' + byte(y%10), '-',
		'0' + byte(m/10), '0' + byte(m%10), '-', '0' + byte(d/10), '0' + byte(d%10), 'T',
		'0' + byte(hh/10), '0' + byte(hh%10),
	})
}

// two returns the number that s begins with, of two digits, or a negative one.
func two(s []byte) int {
	a, b := s[0]-'0', s[1]-'0'
	if a > 9 || b > 9 {
		return -1
	}
	return int(a)*10 + int(b)
}

// offsetOf returns the minutes that a zone such as +05:30 is ahead of UTC.
func offsetOf(zone []byte) (int, fault) {
	if len(zone) != 6 || zone[0] != '+' && zone[0] != '-' || zone[3] != ':' {
		return 0, faultForm
	}
	hh, mm := two(zone[1:]), two(zone[4:])
	switch {
	case hh < 0 || mm < 0:
		return 0, faultForm
	case hh > 23 || mm > 59:
		return 0, faultOffset
	}
	if zone[0] == '-' {
		return -hh*60 - mm, 0
	}
	return hh*60 + mm, 0
}

func daysIn(y, m int) int {
	switch m {
	case 2:
		if y%4 == 0 && (y%100 != 0 || y%400 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}

func floorDiv(a, b int) int {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// daysFromCivil and civilFromDays turn a date of the Gregorian calendar into
// days from 1970-01-01 and back (Howard Hinnant, "chrono-Compatible Low-Level
// Date Algorithms"). Years begin in March there, so that the leap day is last.
func daysFromCivil(y, m, d int) int {
	if m <= 2 {
		y--
		m += 12
	}
	era := floorDiv(y, 400)
	yoe := y - era*400
	doy := (153*(m-3)+2)/5 + d - 1
	return era*146097 + yoe*365 + yoe/4 - yoe/100 + doy - 719468
}

func civilFromDays(days int) (y, m, d int) {
	days += 719468
	era := floorDiv(days, 146097)
	doe := days - era*146097
	yoe := (doe - doe/1460 + doe/36524 - doe/146096) / 365
	doy := doe - (365*yoe + yoe/4 - yoe/100)
	mp := (5*doy + 2) / 153
	y, m, d = yoe+era*400, mp+3, doy-(153*mp+2)/5+1
	if m > 12 {
		y, m = y+1, m-12
	}
	return y, m, d
}
