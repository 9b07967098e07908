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

// Names of the members that a dialect adds to a record for what is around it
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
	// The times of OTLP are outside a record. Those of other systems are, too, but have
	// names that a member of a record may have.
	names.Dropped = add(names.Dropped, eventTime, observedTime)
	return names
}

// FieldSet knows which names of members a value may be found under.
type FieldSet map[string]struct{}

// NewFieldSet returns the set of the names, and of what is before a dot in
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
	// MaxSent is how many bytes of a body a record may be, and MaxDepth how deeply its
	// members may be nested; 0 means no limit. The codec has the same limits: here they
	// bound what a record takes before the codec gets it.
	MaxSent, MaxDepth int
	// Room is asked for the memory that w works with; nil if it is not counted.
	Room codec.Room
	// SetAside is called with each record that is not stored: the record and the
	// error are valid during the call only.
	SetAside func(record []byte, e codec.RecordError)

	decodedAside func(record []byte, e codec.RecordError) // setDecodedAside of w, made once

	result Result
	full   bool // the body is over a limit: the rest is not looked at
	over   *codec.LimitError
	noRoom error // of Room; the rest is not looked at then
	taken  int   // bytes that Room has been asked for

	object []byte // the record that is being put together
	text   []byte // one string without its escapes
	name   []byte // the same, of a member's name

	resource, scope []byte  // members that records have from around them, each after a comma
	carried         int     // bytes of them, counted with each record so far
	unfit           [2]bool // no record can have those of resource, of scope

	// around are the members of both as extra members, without a comma before the first.
	around      []byte
	aroundKnown bool // it is that of the present resource and scope
	aroundPlain bool // all of them are strings that no value of a record is looked for in
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

var writers = sync.Pool{New: func() any {
	w := new(Writer)
	w.decodedAside = w.setDecodedAside
	return w
}}

// GetWriter returns a Writer from the pool; PutWriter gives it back.
func GetWriter() *Writer { return writers.Get().(*Writer) }

// PutWriter gives w back. Its result must not be used afterwards.
func PutWriter(w *Writer) {
	items := w.result.Items[:0]
	if cap(w.object)+cap(w.text)+cap(w.name)+cap(w.resource)+cap(w.scope)+cap(w.around)+cap(items)*itemBytes > retained {
		return
	}
	clear(items[:cap(items)])
	*w = Writer{decodedAside: w.decodedAside, object: w.object[:0], text: w.text[:0], name: w.name[:0], resource: w.resource[:0], scope: w.scope[:0], around: w.around[:0]}
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
	n := len(w.resource) + len(w.scope)
	if n > large && !w.account() {
		return false
	}
	if w.carried += n; w.carried > maxAround {
		w.full = true
		w.over = &codec.LimitError{Index: w.result.records, What: "bytes of labels and attributes, which count with each record that has them",
			Max: maxAround, Records: w.result.records}
	}
	return !w.full
}

// large is from how many bytes on a record's memory is counted: that of smaller
// ones does not matter.
const large = 64 << 10

// account asks for the memory that w has come to hold. It reports false if there is
// no room for it: the rest of the body is not looked at then.
func (w *Writer) account() bool {
	held := cap(w.object) + cap(w.text) + cap(w.name) + cap(w.resource) + cap(w.scope) + cap(w.around)
	if w.Room == nil || held <= w.taken {
		return true
	}
	if w.noRoom = w.Room.Take(held - w.taken); w.noRoom != nil {
		w.full = true
		return false
	}
	w.taken = held
	return true
}

// growItems makes sure that one more item fits. It reports false if there is no room
// for it: the rest of the body is not looked at then.
func (w *Writer) growItems() bool {
	items := w.result.Items
	if len(items) < cap(items) {
		return true
	}
	size := max(64, 2*len(items))
	if w.Room != nil {
		if w.noRoom = w.Room.Take(size * itemBytes); w.noRoom != nil {
			w.full = true
			return false
		}
		defer w.Room.Give(cap(items) * itemBytes)
	}
	w.result.Items = append(make([]Item, 0, size), items...)
	return true
}

// tooLarge reports whether a record of n bytes in the body is more than one may
// have.
func (w *Writer) tooLarge(n int) bool { return w.MaxSent > 0 && n > w.MaxSent }

// sizeReason is why a record that is too large is set aside.
func (w *Writer) sizeReason(n int) string {
	return "is " + strconv.Itoa(n) + " bytes, over the limit of " + strconv.Itoa(w.MaxSent) + " record bytes as sent"
}

// aroundReason is why a record is set aside that has an unfit resource or scope.
const aroundReason = "has labels or attributes around it that cannot be read, are nested too deeply or over a limit"

// inherit appends the members that the record has from around it.
func (w *Writer) inherit(dst []byte) []byte {
	return append(append(dst, w.resource...), w.scope...)
}

// plainAround returns what is around a record as extra members. ok is false if it is to
// be put into the record as it is, so that values are looked for in it.
func (w *Writer) plainAround() (extra []byte, ok bool) {
	if w.aroundKnown {
		return w.around, w.aroundPlain
	}
	object := append(w.inherit(w.object[:0]), '}')
	object[0] = '{' // instead of the first comma, or the brace of an empty object
	w.around, w.object, w.aroundKnown = w.around[:0], object, true
	w.aroundPlain = len(object) == 1 || members(object, 0, func(name []byte, i int) int {
		end := valueEnd(object, i)
		if end < 0 || object[i] != '"' || bytes.IndexByte(name, '\\') >= 0 || w.Fields.has(name) {
			return -1
		}
		text, ok := w.unescape(object[i+1 : end-1])
		if !ok {
			return -1
		}
		w.around = codec.AppendMember(w.around, name, text)
		return end
	}) > 0
	return w.around, w.aroundPlain
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

// appendMember appends one member to extra members. name is escaped, as it is
// in the body, and so is value.
func (w *Writer) appendMember(dst, name, value []byte) []byte {
	if w.tooLarge(len(name)+len(value)) || w.tooLarge(len(dst)/6) {
		return dst // and the record, or its stream, is refused by its size
	}
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
	if w.MaxDepth > 0 && nesting(value) > w.MaxDepth { // stored as text, so that the line can be read again
		return appendString(dst, value)
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
	if !w.admit() || len(record)+len(extra) > large && !w.account() {
		return
	}
	e, ok := w.Batch.AppendRecord(record, at, extra)
	if ok {
		w.result.records++
		return
	}
	w.setAside(w.wrapped(record, at, extra), e)
}

// addPlain adds the record of the access log line that begins at b[i], within a JSON
// string that ends with the text follows: a short way for most lines. It returns the
// index after that text; or 0, and nothing has been added then.
func (w *Writer) addPlain(b []byte, i int, follows string, extra []byte) int {
	if len(extra) > large || !w.admit() {
		return 0
	}
	end := w.Batch.AppendPlain(b, i, follows, extra)
	if end > 0 {
		w.result.records++
	}
	return end
}

// admit reports whether another record is within the limits of the body.
func (w *Writer) admit() bool {
	if !w.full && w.MaxRecords > 0 && w.result.records >= w.MaxRecords {
		w.full = true
		w.over = &codec.LimitError{Index: w.MaxRecords, What: "records", Max: w.MaxRecords, Records: w.MaxRecords}
	}
	return !w.full
}

// wrapped returns the record together with what was around it, as one object
// that means the same when it comes by POST /ingest.
func (w *Writer) wrapped(record []byte, at time.Time, extra []byte) []byte {
	if at.IsZero() && len(extra) == 0 {
		return record
	}
	var raw []byte
	if !at.IsZero() {
		raw = append(at.UTC().AppendFormat([]byte{'"'}, time.RFC3339Nano), '"')
	}
	return wrappedIn(record, raw, extra)
}

// addTimed is add for a record with a time, as JSON, that cannot be read: it is set
// aside for that, unless it has a time of its own.
func (w *Writer) addTimed(record, raw, extra []byte) {
	w.add(wrappedIn(record, raw, extra), noTime, nil)
}

// wrappedIn is wrapped for a time that is JSON; nil is none.
func wrappedIn(record, at, extra []byte) []byte {
	var dst []byte
	if len(at) > 0 {
		dst = append(append(dst, `,"`+envelopeTime+`":`...), at...)
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
