package codec

import (
	"bytes"
	"time"
)

// Times of every kind that shippers and access logs have, beside RFC 3339. Each
// comes out as the canonical text of a timestamp.

// moment reads the time s, of any kind, and returns its canonical text, which
// is valid until the next call.
func (d *decoder) moment(s []byte) ([]byte, fault) {
	if len(s) == 20 && d.b.clock.is(s) && isSecond(load(s, 12)>>8, 0) {
		return s, 0
	}
	if len(s) > 21 && s[19] == '.' && d.b.clock.is(s) {
		if text := d.sameHourFraction(s); text != nil {
			return text, 0
		}
	}
	if len(s) == 26 {
		if text := d.sameCommonHour(s); text != nil {
			return text, 0
		}
	}
	s = bytes.TrimSpace(s)
	switch {
	case len(s) >= 16 && (s[4] == '-' && s[7] == '-' || s[4] == '/' && s[7] == '/'):
		return d.calendarTime(s)
	case len(s) >= 17 && s[2] == '/' && s[6] == '/':
		return d.commonTime(s)
	}
	return d.epoch(s)
}

// sameHourFraction returns the canonical text of the time s, which begins with the
// remembered hour and is 2026-02-09T15:23:00.120Z or the like; or nil if it is not.
func (d *decoder) sameHourFraction(s []byte) []byte {
	const sixBytes = 1<<48 - 1
	n, significant := fractionDigits(s[20:])
	if n == 0 || n > 9 || n+21 != len(s) || s[n+20] != 'Z' || !isSecond(load(s, 13)&sixBytes|'Z'<<48, 0) {
		return nil
	}
	end := 19
	if significant > 0 {
		end = 20 + significant
	}
	text := append(d.b.moment[:0], s[:end]...)
	return append(text, 'Z')
}

// calendarTime reads 2026-02-09T15:23:00.5+01:00 and what is close to it: a
// space for the T, no seconds, a comma before the fraction, an offset without
// its colon or its minutes, or none at all.
func (d *decoder) calendarTime(s []byte) ([]byte, fault) {
	if s[10]|0x20 != 't' && s[10] != ' ' {
		return nil, faultKind
	}
	var date [10]byte
	copy(date[:], s)
	date[4], date[7] = '-', '-'
	days, bad := d.b.clock.daysOf(date[:])
	if bad != 0 {
		if bad == faultForm {
			bad = faultKind
		}
		return nil, bad
	}
	return d.timeOfDay(days, s[11:])
}

// commonTime reads 17/May/2015:10:05:03 +0000, the time of access logs.
func (d *decoder) commonTime(s []byte) ([]byte, fault) {
	day, month, y1, y2 := two(s), monthOf(s[3:6]), two(s[7:]), two(s[9:])
	if day < 0 || month == 0 || y1 < 0 || y2 < 0 || s[11] != ':' {
		return nil, faultKind
	}
	year := y1*100 + y2
	if day < 1 || day > daysIn(year, month) {
		return nil, faultDate
	}
	text, bad := d.timeOfDay(daysFromCivil(year, month, day), s[12:])
	if bad == 0 && len(s) == 26 {
		d.b.common.remember(s, text, d.b.clock.hour)
	}
	return text, bad
}

// commonHour is the hour of the last time of an access log: 17/May/2015:10 and
// the offset, and what they were. Within it nothing needs to be computed.
type commonHour struct {
	head, middle uint64 // the first 14 bytes, as two words that overlap
	zone         uint64 // the last eight, without the second before it
	hour         Hour
	known        bool
}

const zoneOnly = ^uint64(0xffff) // the last eight bytes of a time: 03 +0000

// remember keeps the hour of the time s, of which text is the canonical form,
// if the offset changes the hour only.
func (c *commonHour) remember(s, text []byte, h Hour) {
	c.known = len(text) == 20 && string(text[13:19]) == string(s[14:20])
	c.head, c.middle, c.zone, c.hour = load(s, 0), load(s, 6), load(s, 18)&zoneOnly, h
}

// sameCommonHour returns the canonical text of the time s, of 26 bytes, if it
// is in the hour of the last one; or else nil.
func (d *decoder) sameCommonHour(s []byte) []byte {
	c := &d.b.common
	if !c.known || load(s, 0) != c.head || load(s, 6) != c.middle || load(s, 18)&zoneOnly != c.zone {
		return nil
	}
	// The second, with a Z after it: as in a canonical timestamp.
	const sixBytes = 1<<48 - 1
	second := load(s, 14)&sixBytes | 'Z'<<48
	if !isSecond(second, 0) {
		return nil
	}
	clock := &d.b.clock
	if clock.hour != c.hour {
		clock.remember(c.hour)
	}
	text := d.b.moment[:20]
	copy(text[:13], clock.text[:])
	copy(text[13:19], s[14:20])
	text[19] = 'Z'
	return text
}

// monthOf returns the number of a month, of which s is the English name shortened to
// three letters, or 0.
func monthOf(s []byte) int {
	const all = "janfebmaraprmayjunjulaugsepoctnovdec"
	m := [3]byte{s[0] | 0x20, s[1] | 0x20, s[2] | 0x20}
	for i := 0; i < len(all); i += 3 {
		if all[i:i+3] == string(m[:]) {
			return i/3 + 1
		}
	}
	return 0
}

// timeOfDay reads what follows the date: HH:MM, seconds and a fraction if they
// are there, and an offset if there is one.
func (d *decoder) timeOfDay(days int, s []byte) ([]byte, fault) {
	if len(s) < 5 || s[2] != ':' {
		return nil, faultKind
	}
	hh, mm, ss := two(s), two(s[3:]), 0
	s = s[5:]
	if len(s) >= 3 && s[0] == ':' {
		ss = two(s[1:])
		s = s[3:]
	}
	if hh < 0 || mm < 0 || ss < 0 {
		return nil, faultKind
	}
	nano := 0
	if len(s) > 0 && (s[0] == '.' || s[0] == ',') {
		n := digits(s, 1)
		if n == 1 {
			return nil, faultKind
		}
		nano = nanoseconds(s[1:n])
		s = s[n:]
	}
	switch {
	case ss == 60 && hh < 24 && mm < 60:
		return nil, faultLeap
	case hh > 23 || mm > 59 || ss > 59:
		return nil, faultClock
	}
	seconds := int64(days)*86400 + int64(hh*3600+mm*60+ss)
	offset, bad := d.offset(seconds, bytes.TrimLeft(s, " "))
	if bad != 0 {
		return nil, bad
	}
	return d.instant(seconds-int64(offset), nano)
}

// offset returns how many seconds the zone s is ahead of UTC; without any, that
// of the rules' zone, at the time that is local seconds there.
func (d *decoder) offset(local int64, s []byte) (int, fault) {
	switch {
	case len(s) == 0:
		zone := d.rules.zone
		if zone == nil {
			return 0, 0
		}
		t := time.Unix(local, 0).UTC()
		t = time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), 0, zone)
		return int(local - t.Unix()), 0
	case len(s) == 1 && s[0]|0x20 == 'z', string(s) == "UTC", string(s) == "GMT":
		return 0, 0
	case s[0] != '+' && s[0] != '-' || len(s) < 3:
		return 0, faultKind
	}
	hh, mm := two(s[1:]), 0
	switch {
	case len(s) == 5:
		mm = two(s[3:])
	case len(s) == 6 && s[3] == ':':
		mm = two(s[4:])
	case len(s) != 3:
		return 0, faultKind
	}
	switch {
	case hh < 0 || mm < 0:
		return 0, faultKind
	case hh > 23 || mm > 59:
		return 0, faultOffset
	}
	offset := hh*3600 + mm*60
	if s[0] == '-' {
		offset = -offset
	}
	return offset, 0
}

// nanoseconds returns the fraction of a second that has these digits. Those past
// the ninth are left out.
func nanoseconds(digits []byte) int {
	n := 0
	for i := range 9 {
		n *= 10
		if i < len(digits) {
			n += int(digits[i] - '0')
		}
	}
	return n
}

// epoch reads the time since 1970 as a number, in the unit that its size tells:
// seconds below 10^11 (the year 5138), then milliseconds below 10^14,
// microseconds below 10^17, and nanoseconds.
func (d *decoder) epoch(s []byte) ([]byte, fault) {
	if len(s) >= 10 && (len(s) == 10 || len(s) < 20 && s[10] == '.') {
		if text, ok := d.sameHourSeconds(s); ok {
			return text, 0
		}
	}
	negative := len(s) > 0 && s[0] == '-'
	if negative {
		s = s[1:]
	}
	end := digits(s, 0)
	whole, fraction := s[:end], s[end:end]
	rest := s[end:]
	if end > 0 && len(rest) > 1 && rest[0] == '.' {
		n := digits(rest, 1)
		fraction, rest = rest[1:n], rest[n:]
	}
	var moved [64]byte
	if len(rest) > 1 && rest[0]|0x20 == 'e' {
		if whole, fraction = movePoint(moved[:], whole, fraction, rest[1:]); whole != nil {
			rest = nil
		}
	}
	if len(whole) == 0 || len(whole) > 19 || len(rest) > 0 {
		return nil, faultKind
	}
	var n uint64
	for _, c := range whole {
		n = n*10 + uint64(c-'0')
	}
	unit, places := uint64(1), 9 // units a second, and decimal places of one that a nanosecond is
	switch {
	case n >= 1e17:
		unit, places = 1e9, 0
	case n >= 1e14:
		unit, places = 1e6, 3
	case n >= 1e11:
		unit, places = 1e3, 6
	}
	seconds, nano := int64(n/unit), int(n%unit*(1e9/unit))
	if places > 0 {
		part := fraction[:min(len(fraction), places)]
		below := nanoseconds(part)
		for range 9 - places {
			below /= 10
		}
		nano += below
	}
	if negative {
		if seconds, nano = -seconds, -nano; nano < 0 {
			seconds--
			nano += 1e9
		}
	}
	return d.instant(seconds, nano)
}

// sameHourSeconds is epoch for seconds of ten digits, with or without a fraction,
// of the hour that is remembered.
func (d *decoder) sameHourSeconds(s []byte) ([]byte, bool) {
	seconds := 0
	for _, c := range s[:10] {
		if c -= '0'; c > 9 {
			return nil, false
		}
		seconds = seconds*10 + int(c)
	}
	c := &d.b.clock
	rest := seconds - int(c.hour)*3600
	if c.hour == noHour || rest < 0 || rest >= 3600 {
		return nil, false
	}
	text := d.b.moment[:20]
	copy(text[:13], c.text[:])
	mm, ss := rest/60, rest%60
	text[13], text[14], text[15] = ':', '0'+byte(mm/10), '0'+byte(mm%10)
	text[16], text[17], text[18] = ':', '0'+byte(ss/10), '0'+byte(ss%10)
	if len(s) > 10 {
		n, significant := fractionDigits(s[11:])
		if n == 0 || n+11 != len(s) || n > 9 {
			return nil, false
		}
		if significant > 0 {
			text = append(append(text[:19], '.'), s[11:11+significant]...)
			return append(text, 'Z'), true
		}
	}
	text[19] = 'Z'
	return text, true
}

// movePoint moves the point between the digits of a number by its exponent. It
// returns nil if there is none, or the result does not fit into buf.
func movePoint(buf, whole, fraction, exponent []byte) (newWhole, newFraction []byte) {
	negative := exponent[0] == '-'
	if negative || exponent[0] == '+' {
		exponent = exponent[1:]
	}
	if len(exponent) == 0 || len(exponent) > 2 || digits(exponent, 0) != len(exponent) || len(whole)+len(fraction) > 24 || len(whole) == 0 {
		return nil, nil
	}
	by := 0
	for _, c := range exponent {
		by = by*10 + int(c-'0')
	}
	if negative {
		by = -by
	}
	if by < -18 || by > 18 {
		return nil, nil
	}
	all := append(append(buf[:0], whole...), fraction...)
	point := len(whole) + by
	for ; point > len(all); all = append(all, '0') {
	}
	if point <= 0 {
		return []byte("0"), nil // below a second, in 1970
	}
	whole = all[:point]
	for len(whole) > 1 && whole[0] == '0' {
		whole = whole[1:]
	}
	return whole, all[point:]
}

// instant returns the canonical text of the time that is that many seconds and
// nanoseconds after 1970, which is valid until the next call.
func (d *decoder) instant(seconds int64, nano int) ([]byte, fault) {
	c := &d.b.clock
	h := seconds / 3600
	rest := int(seconds - h*3600)
	if rest < 0 {
		h--
		rest += 3600
	}
	if Hour(h) != c.hour {
		if Hour(h) < minHour || Hour(h) > maxHour {
			return nil, faultRange
		}
		c.remember(Hour(h))
	}
	text := append(d.b.moment[:0], c.text[:]...)
	mm, ss := rest/60, rest%60
	text = append(text, ':', '0'+byte(mm/10), '0'+byte(mm%10), ':', '0'+byte(ss/10), '0'+byte(ss%10))
	if nano > 0 {
		text = append(text, '.')
		for unit := int(1e8); nano > 0; unit /= 10 {
			text = append(text, '0'+byte(nano/unit))
			nano %= unit
		}
	}
	return append(text, 'Z'), 0
}
