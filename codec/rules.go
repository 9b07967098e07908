package codec

import (
	"bytes"
	"math"
	"slices"
	"strings"
	"time"
)

// ExtraRule says what becomes of the members of a record that are none of the
// three.
type ExtraRule uint8

// What can become of them. The zero value drops them.
const (
	DropExtra ExtraRule = iota
	KeepExtra           // they follow the three in the canonical line
)

// BlankRule says what becomes of a record whose path or user agent is missing,
// null, empty or blank, while the other one is there.
type BlankRule uint8

// What can become of it. The zero value refuses it.
const (
	RefuseBlank  BlankRule = iota
	DashForBlank           // what is missing is stored as "-", as access logs have it
)

// TimeRule says what becomes of a record without any time.
type TimeRule uint8

// What can become of it. The zero value refuses it.
const (
	RefuseMissingTime TimeRule = iota
	ArrivalTime                // it gets the time at which its request arrived
)

// Options say how bodies are read. The zero value is the strict contract of
// POST /logs, without limits: records have exactly the names timestamp, path
// and userAgent, and the timestamp is an RFC 3339 string.
type Options struct {
	Limits Limits

	// Shipper is for what log shippers send: names out of lists, times of many
	// kinds, access log lines, JSON wrapped in an object. See Names and doc.go.
	Shipper bool
	Names   Names          // for Shipper; a nil list stands for the one of DefaultNames
	Zone    *time.Location // for Shipper: of times without an offset; nil is UTC
	NoTime  TimeRule       // for Shipper
	Blank   BlankRule
	Extra   ExtraRule
}

// Names are the names under which shippers send a value. The first one that a
// record has, with a value that is not blank, wins. A dot goes into an object,
// or is part of a name with dots; a number goes into an array. Case matters
// only where a record has two names that differ in nothing else.
type Names struct {
	Timestamp []string
	Path      []string
	UserAgent []string
	// Line lists the members that may hold an access log line or a JSON object.
	// They are looked at where path or user agent is missing.
	Line []string
	// Dropped lists members that are never kept as extra members, under exactly that
	// name: what a protocol says around a record, and other rules are to read again.
	Dropped []string
}

// DefaultNames returns the names that are looked for by default.
func DefaultNames() Names {
	return Names{
		Timestamp: []string{
			"timestamp", "@timestamp", "time", "ts", "date", "time_iso8601", "time_local", "msec", "datetime", "eventTime",
			"StartUTC", "EdgeStartTimestamp", "_time", "timereported", "created",
		},
		Path: []string{
			"path", "url.path", "url.original", "request_uri", "uri", "request.uri", "url", "http.target", "http.request.target",
			"ClientRequestURI", "RequestPath", "cs-uri-stem", "request",
		},
		UserAgent: []string{
			"userAgent", "user_agent.original", "user_agent", "http_user_agent", "agent", "User-Agent",
			"request.headers.User-Agent.0", "http.user_agent", "ClientRequestUserAgent", "cs(User-Agent)", "userAgent_original",
		},
		Line: []string{"message", "log", "msg", "body", "line", "event.original", "_raw", "MESSAGE"},
	}
}

// Rules are Options made ready for use. They are made once, and any number of
// goroutines may use them.
type Rules struct {
	limits Limits
	keep   bool // extra members
	dash   bool // for what is blank
	// The time of arrival is that of records without one.
	arrival bool

	// For bodies in which single records may be bad.
	shipper        bool
	table          *table
	zone           *time.Location // nil is UTC
	canonicalFirst bool           // a canonical record is what the names would make of it
	unlessNamed    []string       // if no extra member of it has one of these names, in whatever case
}

// NewRules returns the rules of o.
func NewRules(o Options) (*Rules, error) {
	r := &Rules{
		limits: o.Limits, keep: o.Extra == KeepExtra, dash: o.Blank == DashForBlank, arrival: o.NoTime == ArrivalTime,
		shipper: o.Shipper, table: strictNames, canonicalFirst: true,
	}
	if !o.Shipper {
		return r, nil
	}
	if o.Zone != nil && o.Zone != time.UTC {
		r.zone = o.Zone
	}
	n, d := o.Names, DefaultNames()
	for list, byDefault := range map[*[]string][]string{&n.Timestamp: d.Timestamp, &n.Path: d.Path, &n.UserAgent: d.UserAgent, &n.Line: d.Line} {
		if *list == nil {
			*list = byDefault
		}
	}
	for c, list := range [columns][]string{n.Timestamp, n.Path, n.UserAgent} {
		first := max(0, slices.Index(list, names[c]))
		r.unlessNamed = append(r.unlessNamed, list[:first]...)
		r.canonicalFirst = r.canonicalFirst && first < len(list) && list[first] == names[c]
	}
	for _, name := range r.unlessNamed { // a value that is found by its parts is not looked for
		r.canonicalFirst = r.canonicalFirst && !strings.Contains(name, ".")
	}
	r.unlessNamed = append(r.unlessNamed, n.Dropped...)
	var err error
	r.table, err = newTable(n, true)
	return r, err
}

// DecodeWith replaces the contents of b by the records of body. It keeps
// nothing of body. now is the time at which the body arrived.
//
// Without setAside the batch is all or nothing: the error is an *InvalidError,
// a *LimitError, or what the batch's Room returned, and b is then empty. With it, a record that is no web
// request, cannot be read, or is over a limit on a single record, is handed to
// setAside and left out, and the others are kept. The record is as it came,
// valid during the call only; while setAside is called the batch is not to be
// used. The error is a *LimitError, for the whole batch, or what the
// batch's Room returned.
func (b *Batch) DecodeWith(body []byte, f Format, r *Rules, now time.Time, setAside func(record []byte, e RecordError)) error {
	b.Reset()
	var d decoder
	d.start(b, r, now)
	d.bad = setAside
	body = withoutMark(body)
	if d.reserve(len(body)) {
		d.body(body, f)
	}
	d.close()
	if d.over != nil || d.invalid != nil || b.unsorted || d.limits.Hours > 0 {
		return d.end()
	}
	return nil
}

// end returns the error of the batch, which is empty if there is one.
func (d *decoder) end() error {
	b := d.b
	if d.over == nil && d.invalid == nil {
		if b.unsorted && d.takeTwins() {
			b.regroup()
		}
		if h := d.limits.Hours; h > 0 && len(b.runs) > h {
			d.over = &LimitError{Index: d.index - 1, What: hoursLimit, Max: h, Records: d.index - 1}
		}
	}
	if d.over == nil && d.invalid == nil { // which is so where there was no room, too
		return nil
	}
	switch {
	case b.noRoom != nil:
		b.Reset()
		return b.noRoom
	case d.over != nil:
		b.Reset()
		return d.over
	case d.invalid != nil:
		d.invalid.Records = d.index
		b.Reset()
		return d.invalid
	}
	return nil
}

// hours are those between two others, none of which is one of them.
type hours struct{ after, before Hour }

// hour reports whether h is one of the hours.
func (v *hours) hour(h Hour) bool { return v.after < h && h < v.before }

// interval is where the times of records have to be. Hours that lie wholly within
// it need no further look.
type interval struct {
	hours
	now            time.Time
	age, future    time.Duration // 0: that side is open
	written        bool          // oldest and newest are
	oldest, newest [29]byte      // the bounds: canonical timestamps without their Z, then zeros
}

func intervalOf(now time.Time, l *Limits) interval {
	v := interval{hours: hours{math.MinInt64, math.MaxInt64}, now: now}
	if l.MaxAge > 0 {
		v.age, v.after = l.MaxAge, HourOf(now.Add(-l.MaxAge))
	}
	if l.MaxFuture > 0 {
		v.future, v.before = l.MaxFuture, HourOf(now.Add(l.MaxFuture))
	}
	return v
}

// writeBounds writes the bounds as the texts of timestamps begin.
func (v *interval) writeBounds() {
	writeBound(&v.oldest, v.now.Add(-v.age))
	writeBound(&v.newest, v.now.Add(v.future))
	v.written = true
}

func writeBound(text *[29]byte, t time.Time) {
	n := len(t.UTC().AppendFormat(text[:0], "2006-01-02T15:04:05.999999999"))
	clear(text[n:]) // AppendFormat has written zeros there
}

// outside says why the canonical timestamp that s begins with is not within the
// interval, or nothing if it is. (Without the Z, these texts are in
// the order of time.)
func (v *interval) outside(s []byte) string {
	if !v.written {
		v.writeBounds()
	}
	s = s[:bytes.IndexByte(s, 'Z')]
	switch {
	case v.age > 0 && bytes.Compare(s, bytes.TrimRight(v.oldest[:], "\x00")) < 0:
		return "is more than " + v.age.String() + " ago, the oldest that is accepted"
	case v.future > 0 && bytes.Compare(s, bytes.TrimRight(v.newest[:], "\x00")) > 0:
		return "is more than " + v.future.String() + " in the future; is the clock of the sender right?"
	}
	return ""
}
