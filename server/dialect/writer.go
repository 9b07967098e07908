package dialect

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"logforge/codec"
)

// Names of the members that a dialect adds to a record for what stands around it
// in the body. Rules knows them, whatever names are configured, so that a record
// that was set aside means the same when it comes again by POST /ingest.
const (
	eventTime    = "time_unix_nano"          // of OTLP: before every other name of a time
	observedTime = "observed_time_unix_nano" // of OTLP: after every other one
	envelopeTime = "_time"                   // of Loki and HEC: what the shipper says, after what the record says
	bodyName     = "body"                    // of OTLP
	lineName     = "line"                    // of Loki
	eventName    = "event"                   // of HEC
)

// Names returns names with those that dialects add.
func Names(names codec.Names) codec.Names {
	add := func(list []string, more ...string) []string {
		list = append([]string(nil), list...)
		for _, name := range more {
			if !contains(list, name) {
				list = append(list, name)
			}
		}
		return list
	}
	names.Timestamp = add(append([]string{eventTime}, names.Timestamp...), envelopeTime, observedTime)
	names.Path = add(names.Path, "url.full", "http.route")
	names.Line = add(names.Line, bodyName, lineName, eventName)
	return names
}

// FieldSet knows which names of members a value may be found under.
type FieldSet map[string]struct{}

// NewFieldSet returns the set of the names, and of what stands before a dot in
// them.
func NewFieldSet(names codec.Names) FieldSet {
	set := FieldSet{}
	for _, list := range [][]string{names.Timestamp, names.Path, names.UserAgent, names.Line} {
		for _, name := range list {
			name = strings.ToLower(name)
			set[name] = struct{}{}
			first, _, _ := strings.Cut(name, ".")
			set[first] = struct{}{}
		}
	}
	return set
}

// has reports whether name may be that of a value, in whatever case.
func (s FieldSet) has(name []byte) bool {
	var lower [64]byte
	if len(name) > len(lower) {
		return true // none of ours usually; the long way finds out
	}
	for i, c := range name {
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		if c >= utf8.RuneSelf {
			return true
		}
		lower[i] = c
	}
	_, ok := s[string(lower[:len(name)])]
	return ok
}

func contains(list []string, name string) bool {
	for _, s := range list {
		if s == name {
			return true
		}
	}
	return false
}

// Writer turns the records of one body into those of a batch.
type Writer struct {
	Batch   *codec.Batch
	Rules   *codec.Rules
	Format  codec.Format // of the forms that POST /ingest takes; Auto usually
	Arrived time.Time
	// Fields are the names that Rules look for. Without them every member is taken
	// for one of those.
	Fields FieldSet
	// MaxRecords is how many records a body may have; 0 means no limit.
	MaxRecords int
	// SetAside is called with each record that is not stored: the record and the
	// error are valid during the call only.
	SetAside func(record []byte, e codec.RecordError)

	result Result
	full   bool // the body is over a limit: the rest is not looked at
	over   *codec.LimitError

	object []byte // the record that is being put together
	text   []byte // one string without its escapes
	name   []byte // the same, of a member's name

	resource, scope []byte // members that records have from around them, each after a comma
	carried         int    // bytes of them, counted with each record so far
}

// Result is what became of a body's records.
type Result struct {
	Accepted int
	Rejected int
	// Errors are the first of the rejected ones.
	Errors []codec.RecordError
	// Items are those of a _bulk body, in its order.
	Items []Item

	records     int // seen, stored and not
	errorsArray [maxErrors]codec.RecordError
}

// maxErrors is how many errors a Result names: more than fit into an answer are
// not needed, but those of _bulk, which are in its items.
const maxErrors = 16

// maxAround is how many bytes of labels and attributes all records of a body may
// have from around them, counted with each record anew: they are copied and
// looked through for each one, so a small body of one huge label and many records
// would otherwise be the work of minutes.
const maxAround = 256 << 20

// retained is how much memory a pooled Writer may keep.
const retained = 1 << 20

var writers = sync.Pool{New: func() any { return new(Writer) }}

// GetWriter returns a Writer from the pool; PutWriter gives it back.
func GetWriter() *Writer { return writers.Get().(*Writer) }

// PutWriter gives w back. Its result must not be used afterwards.
func PutWriter(w *Writer) {
	items := w.result.Items[:0]
	if cap(w.object)+cap(w.text)+cap(w.name)+cap(w.resource)+cap(w.scope)+cap(items)*itemBytes > retained {
		return
	}
	clear(items[:cap(items)])
	*w = Writer{object: w.object[:0], text: w.text[:0], name: w.name[:0], resource: w.resource[:0], scope: w.scope[:0]}
	w.result.Items = items
	writers.Put(w)
}

// span is a part of a body; its end is 0 where there is none.
type span struct{ start, end int }

// begin begins a record that is put together from parts: its members are appended
// to what begin returns, each with a comma before it, and the result goes to put.
func (w *Writer) begin() []byte { return w.object[:0] }

// carry counts what the next record has from around it. It reports false where
// all records have more than maxAround of that, or the body is over another limit:
// the record is not to be looked at then.
func (w *Writer) carry() bool {
	if !w.admit() {
		return false
	}
	if w.carried += len(w.resource) + len(w.scope); w.carried > maxAround {
		w.full = true
		w.over = &codec.LimitError{Index: w.result.records, What: "bytes of labels and attributes, which count with each record that has them",
			Max: maxAround, Records: w.result.records}
	}
	return !w.full
}

// inherit appends the members that the record has from around it.
func (w *Writer) inherit(dst []byte) []byte {
	return append(append(dst, w.resource...), w.scope...)
}

// appendMembers appends the members of a JSON object to extra members. What is
// not JSON in it, and the names of the three, are left out.
func (w *Writer) appendMembers(dst, object []byte) []byte {
	members(object, 0, func(name []byte, i int) int {
		end := valueEnd(object, i)
		if end >= 0 {
			dst = w.appendMember(dst, name, object[i:end])
		}
		return end
	})
	return dst
}

// appendMember appends one member to extra members. name is escaped, as it stands
// in the body, and so is value.
func (w *Writer) appendMember(dst, name, value []byte) []byte {
	text, ok := w.unescape(name)
	if !ok {
		return dst
	}
	if value[0] == '"' {
		w.name = append(w.name[:0], text...) // unescape has one memory
		if text, ok = w.unescape(value[1 : len(value)-1]); !ok {
			return dst
		}
		return codec.AppendMember(dst, w.name, text)
	}
	// The value of the string is exchanged for this one.
	before := len(dst)
	if dst = codec.AppendMember(dst, text, nil); len(dst) == before {
		return dst
	}
	dst = dst[:len(dst)-len(`""`)]
	if value[0] != '{' && value[0] != '[' {
		return append(dst, value...)
	}
	var compact bytes.Buffer
	if json.Compact(&compact, value) != nil {
		return dst[:before]
	}
	return append(dst, compact.Bytes()...)
}

func appendRaw(dst []byte, name string, value []byte) []byte {
	dst = append(append(dst, ',', '"'), name...)
	return append(append(dst, '"', ':'), value...)
}

func appendUint(dst []byte, name string, value uint64) []byte {
	dst = append(append(dst, ',', '"'), name...)
	return strconv.AppendUint(append(dst, '"', ':'), value, 10)
}

// put adds the record that has been put together; at is when it was observed.
func (w *Writer) put(dst []byte, at time.Time) {
	if len(dst) == 0 {
		dst = append(dst, '{')
	} else {
		dst[0] = '{' // instead of the first comma
	}
	w.object = append(dst, '}')
	w.add(w.object, at, nil)
}

// add adds one record: a JSON object or an access log line. at is the time that
// the shipper gives it; a time within the record wins over it. extra are members
// it has besides, without a comma before the first.
func (w *Writer) add(record []byte, at time.Time, extra []byte) {
	if !w.admit() {
		return
	}
	e, ok := w.Batch.AppendRecord(record, at, extra)
	if ok {
		w.result.records++
		return
	}
	w.setAside(w.wrapped(record, at, extra), e)
}

// admit reports whether another record is within the limits of the body.
func (w *Writer) admit() bool {
	if !w.full && w.MaxRecords > 0 && w.result.records >= w.MaxRecords {
		w.full = true
		w.over = &codec.LimitError{Index: w.MaxRecords, What: "records", Max: w.MaxRecords, Records: w.MaxRecords}
	}
	return !w.full
}

// wrapped returns the record together with what stood around it, as one object
// that means the same when it comes by POST /ingest.
func (w *Writer) wrapped(record []byte, at time.Time, extra []byte) []byte {
	if at.IsZero() && len(extra) == 0 {
		return record
	}
	var dst []byte
	if !at.IsZero() {
		dst = append(dst, `,"`+envelopeTime+`":"`...)
		dst = append(at.UTC().AppendFormat(dst, time.RFC3339Nano), '"')
	}
	if len(extra) > 0 {
		dst = append(append(dst, ','), extra...)
	}
	dst[0] = '{'
	if i := space(record, 0); i < len(record) && record[i] == '{' {
		if i = space(record, i+1); i < len(record) && record[i] != '}' {
			dst = append(dst, ',')
		}
		return append(dst, record[min(i, len(record)):]...)
	}
	dst = append(dst, `,"`+lineName+`":`...)
	return append(appendString(dst, record), '}')
}

// reject sets aside a record that the codec does not see.
func (w *Writer) reject(record []byte, reason string) {
	if w.admit() {
		w.setAside(record, codec.RecordError{Index: w.result.records, Field: "record", Reason: reason})
	}
}

// setAside is what becomes of a record that is not stored.
func (w *Writer) setAside(record []byte, e codec.RecordError) {
	r := &w.result
	e.Index = r.records
	r.records++
	r.Rejected++
	if n := len(r.Errors); n < maxErrors {
		r.errorsArray[n] = e
		r.Errors = r.errorsArray[:n+1]
	}
	if items := r.Items; len(items) > 0 {
		items[len(items)-1].Error = e.Field + " " + e.Reason
	}
	w.SetAside(record, e)
}
