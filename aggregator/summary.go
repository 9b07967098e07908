package aggregator

import (
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"time"

	"github.com/goccy/go-json/jsontext"

	"logforge/codec"
)

// position says how far an hour has been summarised.
type position struct {
	generation  uint64 // of the hour's file
	offset      int64  // in that generation: the first byte that is not summarised
	fingerprint string // of the bytes before offset; see fingerprintOf
	// legacy is true for a summary of a version that knew neither generations
	// nor checksums.
	legacy bool
}

// Members of a summary file, in the order in which they are written.
const (
	nameHour         = "hour"
	nameRecords      = "records"
	nameMalformed    = "malformed"
	nameGeneration   = "generation"
	nameEarlierLines = "earlierLines"
	nameOffset       = "offset"
	nameFingerprint  = "fingerprint"
	namePaths        = "requestsPerPath"
	nameAgents       = "requestsPerUserAgent"
	nameEarlier      = "earlier"
	nameChecksum     = "checksum"
)

// castagnoli is the polynomial of the checksum.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// The end of a summary file: the checksum is of all bytes before these.
const (
	checksumForm = ",\n \"" + nameChecksum + "\": \"%08x\"\n}\n"
	checksumAt   = len(",\n \"" + nameChecksum + "\": \"")
	checksumLen  = len(",\n \"" + nameChecksum + "\": \"00000000\"\n}\n")
	summaryEnd   = "\n}\n" // of the same file without a checksum
)

// hourText is how summaries and answers say an hour.
func hourText(h codec.Hour) string { return h.Time().Format(time.RFC3339) }

// summaryEncoder writes summaries, and answers made of them, through a streaming
// encoder, as summaryReader reads them through a streaming decoder. A summary of
// aggregation.maxKeys keys has 38 MiB: decoded into a struct with maps it takes
// 126 MiB and twice the time, streamed 6 KiB. After an error it writes nothing
// more and keeps the error.
type summaryEncoder struct {
	enc    *jsontext.Encoder
	err    error
	quoted []byte
}

// reset makes w what is written to. Names are unique and strings canonical by
// construction, so the encoder need neither remember nor rewrite them.
func (e *summaryEncoder) reset(w io.Writer, options ...jsontext.Options) {
	if e.enc == nil {
		e.enc = jsontext.NewEncoder(w)
	}
	e.enc.Reset(w, append(options, jsontext.AllowDuplicateNames(true), jsontext.PreserveRawStrings(true))...)
	e.err = nil
}

// summary writes the summary file of h: one member a line, in each map the
// largest count first. earlier is what total holds of earlier generations.
func (e *summaryEncoder) summary(w io.Writer, h codec.Hour, p position, total, earlier *tally) error {
	sum := &checksumWriter{w: w, hash: crc32.New(castagnoli)}
	e.reset(sum, jsontext.Multiline(true), jsontext.WithIndent(" "))
	e.token(jsontext.BeginObject)
	e.member(nameHour, jsontext.String(hourText(h)))
	e.sums(total.records, total.malformed)
	e.member(nameGeneration, jsontext.Uint(p.generation))
	e.member(nameEarlierLines, jsontext.Uint(earlier.records+earlier.malformed))
	e.member(nameOffset, jsontext.Int(p.offset))
	e.member(nameFingerprint, jsontext.String(p.fingerprint))
	e.tally(total)
	if !earlier.empty() {
		e.token(jsontext.String(nameEarlier))
		e.token(jsontext.BeginObject)
		e.sums(earlier.records, earlier.malformed)
		e.tally(earlier)
		e.token(jsontext.EndObject)
	}
	e.token(jsontext.EndObject)
	if e.err != nil {
		return e.err
	}
	return sum.end()
}

func (e *summaryEncoder) tally(t *tally) {
	e.counts(namePaths, t.paths, 0)
	e.counts(nameAgents, t.agents, 0)
}

func (e *summaryEncoder) token(t jsontext.Token) {
	if e.err == nil {
		e.err = e.enc.WriteToken(t)
	}
}

func (e *summaryEncoder) value(v jsontext.Value) {
	if e.err == nil {
		e.err = e.enc.WriteValue(v)
	}
}

func (e *summaryEncoder) member(name string, value jsontext.Token) {
	e.token(jsontext.String(name))
	e.token(value)
}

func (e *summaryEncoder) sums(records, malformed uint64) {
	e.member(nameRecords, jsontext.Uint(records))
	e.member(nameMalformed, jsontext.Uint(malformed))
}

// counts writes the top largest counts of c as an object, or all if top is 0.
func (e *summaryEncoder) counts(name string, c *counter, top int) {
	e.token(jsontext.String(name))
	e.token(jsontext.BeginObject)
	entries := c.sorted()
	if top > 0 && top < len(entries) {
		entries = entries[:top]
	}
	for _, entry := range entries {
		e.count([]byte(entry.key), entry.n)
	}
	e.token(jsontext.EndObject)
}

// count writes one key, given in canonical spelling, and its count.
func (e *summaryEncoder) count(key []byte, n uint64) {
	e.quoted = append(append(append(e.quoted[:0], '"'), key...), '"')
	e.value(e.quoted)
	e.token(jsontext.Uint(n))
}

// checksumWriter writes a summary to w, and puts the checksum of what it has
// written before the end of the object.
type checksumWriter struct {
	w    io.Writer
	hash hash.Hash32
	last []byte // what was not written yet: it may be the end
}

func (c *checksumWriter) Write(p []byte) (int, error) {
	c.last = append(c.last, p...)
	n := len(c.last) - len(summaryEnd)
	if n <= 0 {
		return len(p), nil
	}
	_, _ = c.hash.Write(c.last[:n]) // which cannot fail
	if _, err := c.w.Write(c.last[:n]); err != nil {
		return 0, err
	}
	c.last = append(c.last[:0], c.last[n:]...)
	return len(p), nil
}

func (c *checksumWriter) end() error {
	if string(c.last) != summaryEnd {
		return fmt.Errorf("a summary that ends in %q", c.last)
	}
	_, err := fmt.Fprintf(c.w, checksumForm, c.hash.Sum32())
	return err
}
