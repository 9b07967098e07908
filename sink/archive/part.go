package archive

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"strconv"
	"strings"
	"time"

	"logforge/codec"
)

// Part is a range of whole lines of one generation of one hour of one node. A
// node is a logs directory, and its name is the instance id kept in it.
type Part struct {
	Node       string
	Hour       codec.Hour
	Generation uint64
	From, To   int64 // offsets in the hour's stream
}

func (p Part) String() string {
	return fmt.Sprintf("%s of %s, bytes %d to %d of generation %d", p.Hour, p.Node, p.From, p.To, p.Generation)
}

// Digest says what the lines of a part are.
type Digest struct {
	Records int64
	SHA256  string // of the lines, in hexadecimal
	First   string // timestamp of the first line
	Last    string // timestamp of the last line
}

// Stored is a part as a destination has it.
type Stored struct {
	Part
	Digest        // zero where the destination tells it only when it is asked for this part
	name   string // the destination's own
	size   int64  // bytes it takes there
}

// name returns the part's name, without the day and the hour:
// NODE-GENERATION-FROM-TO. Numbers have leading zeros, so that names sort as
// the lines follow each other.
func (p Part) name() string {
	return fmt.Sprintf("%s-%013d-%013d-%013d", p.Node, p.Generation, p.From, p.To)
}

// parsePart reads what name returns.
func parsePart(hour codec.Hour, name string) (Part, bool) {
	p := Part{Hour: hour}
	fields := strings.Split(name, "-")
	if len(fields) < 4 {
		return p, false
	}
	n := len(fields) - 3
	p.Node = strings.Join(fields[:n], "-")
	var err [3]error
	p.Generation, err[0] = strconv.ParseUint(fields[n], 10, 64)
	p.From, err[1] = strconv.ParseInt(fields[n+1], 10, 64)
	p.To, err[2] = strconv.ParseInt(fields[n+2], 10, 64)
	return p, errors.Join(err[:]...) == nil && p.name() == name && p.From < p.To
}

// timeFor is after how long an attempt to store a part is given up: at a rate of
// lines below 64 KiB a second.
func timeFor(p Part) time.Duration {
	return 2*time.Minute + time.Duration((p.To-p.From)/(64<<10))*time.Second
}

// errDamaged is an error of one part, whatever the destination's state.
var errDamaged = errors.New("does not agree")

// A lineReader reads the lines of a part and finds out what they are.
type lineReader struct {
	r       io.ReadCloser
	left    int64 // bytes
	hash    hash.Hash
	records int64
	first   []byte // the beginning of the first line
	tail    []byte // the beginning of the line that is being read
	last    []byte // the beginning of the last whole line
}

// timestampEnd is enough of a line to hold its timestamp.
const timestampEnd = len(`{"timestamp":"2026-02-09T15:23:00.123456789Z"`)

func newLineReader(p Part, r io.ReadCloser) *lineReader {
	return &lineReader{r: r, left: p.To - p.From, hash: sha256.New()}
}

// Read implements io.Reader. A stream that ends early is io.ErrUnexpectedEOF.
func (l *lineReader) Read(b []byte) (int, error) {
	if l.left == 0 {
		return 0, io.EOF
	}
	n, err := l.r.Read(b[:min(int64(len(b)), l.left)])
	l.left -= int64(n)
	l.look(b[:n])
	switch {
	case l.left == 0:
		err = nil
	case err == io.EOF:
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (l *lineReader) look(b []byte) {
	l.hash.Write(b)
	l.records += int64(bytes.Count(b, newline))
	if len(l.first) < timestampEnd {
		l.first = head(l.first, b)
	}
	// The beginning of the last line that begins in b, or goes on in it.
	end := bytes.LastIndexByte(b, '\n')
	if end < 0 {
		l.tail = head(l.tail, b)
		return
	}
	if begin := bytes.LastIndexByte(b[:end], '\n'); begin >= 0 {
		l.last = head(l.last[:0], b[begin+1:end+1])
	} else {
		l.last = append(l.last[:0], head(l.tail, b[:end+1])...)
	}
	l.tail = head(l.tail[:0], b[end+1:])
}

var newline = []byte{'\n'}

// head appends to dst what it lacks of the beginning of a line.
func head(dst, b []byte) []byte {
	return append(dst, b[:min(len(b), timestampEnd-min(len(dst), timestampEnd))]...)
}

// digest returns what has been read. Call it after io.EOF.
func (l *lineReader) digest() Digest {
	return Digest{
		Records: l.records,
		SHA256:  hex.EncodeToString(l.hash.Sum(nil)),
		First:   timestamp(l.first),
		Last:    timestamp(l.last),
	}
}

// timestamp returns the timestamp of a canonical line.
func timestamp(line []byte) string {
	rest, ok := bytes.CutPrefix(line, []byte(`{"timestamp":"`))
	text, _, closed := bytes.Cut(rest, []byte{'"'})
	if !ok || !closed {
		return ""
	}
	return string(text)
}

// Close closes the stream.
func (l *lineReader) Close() error { return l.r.Close() }
