package aggregator

import (
	"bytes"
	"encoding/binary"

	"logforge/codec"
)

// lineForm is the form of the lines of one hour's file: as the codec writes
// them, they are all the same up to the minutes of the timestamp,
//
//	{"timestamp":"2026-02-09T15:23:00Z","path":"/home","userAgent":"Mozilla/5.0"}
//
// so that most of a line is compared eight bytes at a time and only two
// searches, for the quotes that end the two values, look at single bytes.
type lineForm struct {
	hour codec.Hour
	head [4]uint64 // {"timestamp":"2026-02-09T15: as bytes 0-7, 8-15, 16-23, 20-27
}

const (
	headLen = len(`{"timestamp":"2026-02-09T15:`)
	// minLine is the shortest canonical line. Anything shorter is left to the
	// general path, which spares the fast one a check before each load.
	minLine = len(`{"timestamp":"2026-02-09T15:23:00Z","path":"a","userAgent":"b"}` + "\n")

	afterTime  = `Z","path":"`
	afterPath  = `","userAgent":"`
	afterAgent = "\"}\n"
)

var (
	wordPath   = word(`"path":"`)
	wordAgent0 = word(`","userA`)
	wordAgent7 = word(`Agent":"`)
)

func word(s string) uint64 { return binary.LittleEndian.Uint64([]byte(s)) }

func load(b []byte, i int) uint64 { return binary.LittleEndian.Uint64(b[i:]) }

func newLineForm(h codec.Hour) lineForm {
	s := `{"timestamp":"` + h.String() + `:`
	return lineForm{hour: h, head: [4]uint64{word(s), word(s[8:]), word(s[16:]), word(s[20:])}}
}

// cut returns the two values of the line that b begins with, as they stand,
// escapes and all, and the length of the line with its newline. It returns 0
// for anything that is not a canonical line of the hour. It has not looked at
// the values beyond finding their ends: a control character, invalid UTF-8 or
// an odd escape in them is for the caller to find (canonical).
func (f *lineForm) cut(b []byte) (path, agent []byte, n int) {
	if len(b) < minLine {
		return nil, nil, 0
	}
	if load(b, 0) != f.head[0] || load(b, 8) != f.head[1] || load(b, 16) != f.head[2] || load(b, 20) != f.head[3] {
		return nil, nil, 0
	}
	at := headLen + len(`23:00Z","path":"`)
	if !secondsEnd(load(b, headLen)) || load(b, headLen+8) != wordPath {
		if at = fractionEnd(b); at == 0 {
			return nil, nil, 0
		}
	}
	end := stringEnd(b[at:])
	if end <= 0 {
		return nil, nil, 0
	}
	path = b[at : at+end]
	at += end
	if len(b)-at < len(afterPath)+1 || load(b, at) != wordAgent0 || load(b, at+7) != wordAgent7 {
		return nil, nil, 0
	}
	at += len(afterPath)
	end = stringEnd(b[at:])
	if end <= 0 {
		return nil, nil, 0
	}
	agent = b[at : at+end]
	at += end
	if len(b)-at < len(afterAgent) || string(b[at:at+len(afterAgent)]) != afterAgent {
		return nil, nil, 0
	}
	return path, agent, at + len(afterAgent)
}

// secondsEnd reports whether w is MM:SSZ", with minutes and seconds below 60.
func secondsEnd(w uint64) bool {
	const (
		fixed = 0xff_ff_ff_00_00_ff_00_00 // the bytes that are no digits
		text  = 0x2c_22_5a_00_00_3a_00_00 // and what they have to be
		zeros = 0x00_00_00_30_30_00_30_30
		// Added to a digit, these set the top bit of its byte from 6 on for
		// tens, from 10 on for units.
		over = 0x00_00_00_76_7a_00_76_7a
		tops = 0x80_80_80_80_80_80_80_80
	)
	d := w&^fixed ^ zeros
	return w&fixed == text && (d|(d+over))&tops == 0
}

// fractionEnd returns where the path begins in a line whose timestamp has a
// fraction of a second, or 0 if the line is not canonical up to there.
func fractionEnd(b []byte) int {
	const at = headLen + len("23:00.")
	var seconds [8]byte
	copy(seconds[:], b[headLen:at-1])
	copy(seconds[at-1-headLen:], `Z",`)
	if b[at-1] != '.' || !secondsEnd(load(seconds[:], 0)) {
		return 0
	}
	i := at
	for i < len(b) && b[i]-'0' <= 9 {
		i++
	}
	if i == at || i-at > 9 || b[i-1] == '0' || !bytes.HasPrefix(b[i:], []byte(afterTime)) {
		return 0
	}
	return i + len(afterTime)
}

// stringEnd returns the index of the quote that ends the string b begins with,
// or -1.
func stringEnd(b []byte) int {
	i := bytes.IndexByte(b, '"')
	if i > 0 && b[i-1] == '\\' {
		return escapedEnd(b, i)
	}
	return i
}

// escapedEnd is stringEnd from the first quote, at i, on: a quote after an odd
// number of backslashes is part of the string.
func escapedEnd(b []byte, i int) int {
	for {
		first := i
		for first > 0 && b[first-1] == '\\' {
			first--
		}
		if (i-first)%2 == 0 {
			return i
		}
		next := bytes.IndexByte(b[i+1:], '"')
		if next < 0 {
			return -1
		}
		i += 1 + next
	}
}
