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

// tally is what is counted of one hour.
type tally struct {
	paths, agents *counter
	records       uint64
	malformed     uint64
	general       codec.Batch // for one line at a time
}

func newTally(maxKeys int) *tally {
	return &tally{paths: newCounter(maxKeys), agents: newCounter(maxKeys)}
}

// reset empties the tally and keeps its memory.
func (t *tally) reset() {
	t.paths.reset()
	t.agents.reset()
	t.records, t.malformed = 0, 0
}

// count counts whole lines, each with its newline, of the hour that form
// describes. A line that is no record of that hour is malformed. It keeps nothing of lines. In the steady state, when every value
// has been seen before, it allocates nothing.
func (t *tally) count(lines []byte, form *lineForm) {
	for len(lines) > 0 {
		path, agent, n := form.cut(lines)
		if n == 0 || !t.add(path, agent) {
			n = bytes.IndexByte(lines, '\n') + 1
			t.countGeneral(lines[:n-1], form)
		}
		lines = lines[n:]
	}
}

// countGeneral counts a line that is not canonical, or is no record at all: the
// codec knows. A blank line is neither a record nor malformed.
func (t *tally) countGeneral(line []byte, form *lineForm) {
	b := &t.general
	b.Reset()
	b.AppendLines(line, codec.Limits{Depth: maxDepth}, func([]byte, codec.RecordError) { t.malformed++ })
	for _, run := range b.Runs() {
		_, path, agent, _, ok := codec.Fields(b.Lines(run))
		if !ok || run.Hour != form.hour || !t.add(path, agent) {
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
	pathHash, agentHash := t.paths.hash(path), t.agents.hash(agent)
	p, a := t.paths.find(path, pathHash), t.agents.find(agent, agentHash)
	// A key that is already there was checked when it came.
	if p == nil && !canonical(path) || a == nil && !canonical(agent) {
		return false
	}
	t.records++
	if p != nil {
		addTo(p, 1)
	} else {
		t.paths.insert(path, pathHash, 1)
	}
	if a != nil {
		addTo(a, 1)
	} else {
		t.agents.insert(agent, agentHash, 1)
	}
	return true
}
