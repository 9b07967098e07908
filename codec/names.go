package codec

import (
	"bytes"
	"fmt"
	"strings"
	"sync/atomic"
)

// Names of members, and what they are to a record. The lists of Names become one
// table, in which the names with dots are found part by part as well.

// What a member can give to a record beside the three columns.
const (
	lineUse  = columns + iota // an access log line, or a JSON object
	queryUse                  // what follows the path, without its question mark
	uses                      // how many there are
)

// use says what the members of one name are to a record.
type use struct {
	name string // with dots between the parts
	// rank is the place in the list, from 1 on, for each of the things that a
	// member can give; 0 is for none.
	rank     [uses]uint8
	inside   bool // longer names begin with this one and a dot
	reserved bool // no extra member has it: it is the name of one of the three, or in Names.Dropped
	wraps    bool // its value may be a list of records
}

// maxNames is how many names each list may have; maxParts is how many parts,
// with dots between them, a name may have, and maxNameBytes how long it may be.
const (
	maxNames     = 32
	maxParts     = 8
	maxNameBytes = 128
)

// table holds the uses of all names.
type table struct {
	id     uint64 // no two tables have the same one
	exact  map[string]*use
	folded map[string]*use // by the name in lower case; nil if case matters
}

var tables atomic.Uint64

// strictNames are those of the canonical line, and nothing else.
var strictNames = func() *table {
	t, err := newTable(Names{Timestamp: names[timestamp : timestamp+1], Path: names[path : path+1], UserAgent: names[userAgent : userAgent+1]}, false)
	if err != nil {
		panic(err)
	}
	return t
}()

// newTable returns the table of the lists. For shippers case is folded, and
// a few more names are known without being listed.
func newTable(n Names, shipper bool) (*table, error) {
	t := &table{id: tables.Add(1), exact: map[string]*use{}}
	lists := [uses][]string{timestamp: n.Timestamp, path: n.Path, userAgent: n.UserAgent, lineUse: n.Line}
	if shipper {
		lists[queryUse] = []string{"cs-uri-query"}
	}
	for of, list := range lists {
		if len(list) > maxNames {
			return nil, fmt.Errorf("%d names for one value; there may be %d", len(list), maxNames)
		}
		for i, name := range list {
			if err := t.add(name, of, i+1); err != nil {
				return nil, err
			}
		}
		if shipper { // what Telegraf and others keep in an object of that name
			for i, name := range list {
				if err := t.add("fields."+name, of, len(list)+i+1); err != nil {
					return nil, err
				}
			}
		}
	}
	for _, name := range names {
		t.use(name).reserved = true
	}
	for _, name := range n.Dropped {
		t.use(name).reserved = true
	}
	if !shipper {
		return t, nil
	}
	if len(n.Line) > 0 {
		if err := t.add("fields.value", lineUse, 2*len(n.Line)+1); err != nil { // Telegraf, of a whole line
			return nil, err
		}
	}
	for _, name := range []string{"logs", "records", "events", "metrics", "entries"} {
		t.use(name).wraps = true
	}
	t.folded = map[string]*use{}
	for of := range lists { // of names that differ in case only, the first one listed is meant
		for _, name := range lists[of] {
			t.fold(name)
		}
	}
	for name := range t.exact {
		t.fold(name)
	}
	return t, nil
}

func (t *table) fold(name string) {
	if low := strings.ToLower(name); t.folded[low] == nil {
		t.folded[low] = t.exact[name]
	}
}

func (t *table) use(name string) *use {
	u := t.exact[name]
	if u == nil {
		u = &use{name: name}
		t.exact[name] = u
	}
	return u
}

func (t *table) add(name string, of, rank int) error {
	switch {
	case strings.TrimSpace(name) == "":
		return fmt.Errorf("a name is empty")
	case len(name) > maxNameBytes || strings.Count(name, ".") > maxParts:
		return fmt.Errorf("the name %.20q… is longer than %d bytes or has more than %d parts", name, maxNameBytes, maxParts)
	}
	u := t.use(name)
	if u.rank[of] == 0 {
		u.rank[of] = uint8(rank)
	}
	for i, c := range name {
		if c == '.' {
			t.use(name[:i]).inside = true
		}
	}
	return nil
}

// find returns the use of the members of that name; nil if they have none. parent
// is the use of the object that they are in, nil for the record itself. exactly is
// false if the name is known in another case only. buf is memory to work with.
func (t *table) find(buf *[2 * maxNameBytes]byte, parent *use, name []byte) (u *use, exactly bool) {
	if len(name) > maxNameBytes {
		return nil, false
	}
	n := 0
	if parent != nil {
		n = copy(buf[:], parent.name)
		buf[n] = '.'
		n++
	}
	n += copy(buf[n:], name)
	if u = t.exact[string(buf[:n])]; u != nil || t.folded == nil {
		return u, true
	}
	lower(buf[:n])
	return t.folded[string(buf[:n])], false
}

// lower makes the ASCII letters of b lower case.
func lower(b []byte) {
	for i, c := range b {
		if c-'A' < 26 {
			b[i] = c | 0x20
		}
	}
}

// recent remembers the uses of the names that were met last. The records of a body
// have the same names in the same places, so that nearly all are found here.
type recent struct {
	table uint64   // the table that slots are of
	slots [64]slot // by the place in the object, and whether that is the record itself
	buf   [2 * maxNameBytes]byte
}

// slot is one name: its length, its first eight bytes as a word, the rest.
type slot struct {
	word    uint64
	parent  *use
	use     *use
	rest    [22]byte
	n       uint8
	exactly bool
}

// reset makes r that of the table t.
func (r *recent) reset(t *table) {
	if r.table != t.id {
		r.table = t.id
		clear(r.slots[:])
	}
}

// find does what table.find does for the name b[start:end], and remembers it.
// place says which member of its object it is, from 0 on; it is where the name is
// looked for.
func (r *recent) find(t *table, parent *use, b []byte, start, end, place int) (u *use, exactly bool) {
	n := end - start
	if n == 0 || n > 30 || start > len(b)-8 {
		return t.find(&r.buf, parent, b[start:end])
	}
	w := load(b, start)
	var rest []byte
	if n < 8 {
		w &= 1<<(8*n) - 1
	} else {
		rest = b[start+8 : end]
	}
	if parent != nil {
		place += 40 // other slots than those of the record's own first members
	}
	s := &r.slots[place%len(r.slots)]
	if s.word == w && int(s.n) == n && s.parent == parent && (n <= 8 || bytes.Equal(rest, s.rest[:n-8])) {
		return s.use, s.exactly
	}
	u, exactly = t.find(&r.buf, parent, b[start:end])
	*s = slot{word: w, parent: parent, use: u, n: uint8(n), exactly: exactly}
	copy(s.rest[:], rest)
	return u, exactly
}
