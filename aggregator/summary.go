package aggregator

import (
	"io"
	"time"

	"github.com/goccy/go-json/jsontext"

	"logforge/codec"
)

// position says how far an hour's file has been summarised.
type position struct {
	offset      int64  // the first byte that is not summarised
	fingerprint string // of the bytes before offset; see fingerprint
}

// Members of a summary file, in the order in which they are written.
const (
	nameHour        = "hour"
	nameRecords     = "records"
	nameMalformed   = "malformed"
	nameOffset      = "offset"
	nameFingerprint = "fingerprint"
	namePaths       = "requestsPerPath"
	nameAgents      = "requestsPerUserAgent"
)

// hourText is how summaries and answers say an hour.
func hourText(h codec.Hour) string { return h.Time().Format(time.RFC3339) }

// summaryEncoder writes summaries, and answers made of them. After an error
// it writes nothing more and keeps the error.
type summaryEncoder struct {
	enc    *jsontext.Encoder
	err    error
	quoted []byte
	refs   []ref
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
// largest count first.
func (e *summaryEncoder) summary(w io.Writer, h codec.Hour, p position, t *tally) error {
	e.reset(w, jsontext.Multiline(true), jsontext.WithIndent(" "))
	e.token(jsontext.BeginObject)
	e.member(nameHour, jsontext.String(hourText(h)))
	e.sums(t.records, t.malformed)
	e.member(nameOffset, jsontext.Int(p.offset))
	e.member(nameFingerprint, jsontext.String(p.fingerprint))
	e.counts(namePaths, t.paths, 0)
	e.counts(nameAgents, t.agents, 0)
	e.token(jsontext.EndObject)
	return e.err
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
	e.refs = c.sorted(e.refs[:0])
	if top > 0 && top < len(e.refs) {
		e.refs = e.refs[:top]
	}
	for _, r := range e.refs {
		entry := c.entry(r)
		e.count(entryKey(entry), entryCount(entry))
	}
	e.token(jsontext.EndObject)
}

// count writes one key, given in canonical spelling, and its count.
func (e *summaryEncoder) count(key []byte, n uint64) {
	e.quoted = append(append(append(e.quoted[:0], '"'), key...), '"')
	e.value(e.quoted)
	e.token(jsontext.Uint(n))
}
