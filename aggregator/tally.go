package aggregator

import (
	"bytes"

	"logforge/codec"
)

// Other is the key under which a summary counts all paths, or all user agents,
// past aggregation.maxKeys. A real value that reads the same is counted with
// them.
const Other = "(other)"

// maxDepth is how deep members that are skipped may be nested. The sink writes
// none at all.
const maxDepth = 64

// tally is what is counted of one hour, or of several.
type tally struct {
	paths, agents *counter
	records       uint64
	malformed     uint64
	hour          codec.Hour // of the lines, and how they begin with it
	hourText      string
	line          codec.Line
	general       codec.Batch // for one line at a time
}

func newTally(maxKeys int) *tally {
	return &tally{paths: newCounter(maxKeys), agents: newCounter(maxKeys)}
}

// reset empties the tally.
func (t *tally) reset() {
	t.paths.reset()
	t.agents.reset()
	t.records, t.malformed = 0, 0
}

// empty reports whether nothing was counted.
func (t *tally) empty() bool { return t.records == 0 && t.malformed == 0 }

// merge adds what from has counted.
func (t *tally) merge(from *tally) {
	t.records += from.records
	t.malformed += from.malformed
	t.paths.merge(from.paths)
	t.agents.merge(from.agents)
}

// count counts whole lines, each with its newline, of an hour. A line that is no
// record of that hour is malformed. It keeps nothing of lines. Where every value
// has been seen before it allocates nothing.
func (t *tally) count(lines []byte, h codec.Hour) {
	if t.hour != h || t.hourText == "" {
		t.hour, t.hourText = h, h.String()
	}
	for len(lines) > 0 {
		n := t.countLine(lines)
		if n == 0 {
			n = bytes.IndexByte(lines, '\n') + 1
			t.countGeneral(lines[:n-1])
		}
		lines = lines[n:]
	}
}

// countLine counts the first of lines, and returns its length with its newline.
// It returns 0, and has counted nothing, if that is no canonical line of the hour.
// It does not look into extra members.
func (t *tally) countLine(lines []byte) int {
	n := t.line.Split(lines)
	if n == 0 || string(t.line.Timestamp[:len(t.hourText)]) != t.hourText || !t.add(t.line.Path, t.line.UserAgent) {
		return 0
	}
	return n
}

// countGeneral counts a line that is not canonical, or is no record at all: the
// codec knows. A blank line is neither a record nor malformed.
func (t *tally) countGeneral(line []byte) {
	b := &t.general
	b.Reset()
	b.AppendLines(line, codec.Limits{Depth: maxDepth}, func([]byte, codec.RecordError) { t.malformed++ })
	for _, run := range b.Runs() {
		if t.countLine(b.Lines(run)) == 0 { // of another hour
			t.malformed++
		}
	}
	if b.Len() > readSize {
		t.general = codec.Batch{} // a long line must not keep its memory
	}
}

// add counts one record, given its values in canonical spelling. It reports
// false, and has counted nothing, if either is not canonical.
func (t *tally) add(path, agent []byte) bool {
	p, a := t.paths.find(path), t.agents.find(agent)
	// A key that is already there was checked when it came.
	if p == nil && !codec.IsText(path) || a == nil && !codec.IsText(agent) {
		return false
	}
	t.records++
	if p != nil {
		*p++
	} else {
		t.paths.insert(path, 1)
	}
	if a != nil {
		*a++
	} else {
		t.agents.insert(agent, 1)
	}
	return true
}
