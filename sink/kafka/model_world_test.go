package kafka

// The protocol in a small world: a group coordinator, processes that crash, stall
// and are thrown out at every step, and commits that arrive late or whose answers
// are lost. The decisions are taken by the code that the Consumer runs: follow,
// resolve, begin, and both encodings.

import (
	"fmt"
	"slices"

	"logforge/config"
	"logforge/sink/hourly"
)

const (
	modelPartitions = 3
	modelProcesses  = 3
	modelEnd        = 40 // records in each partition
)

type world struct {
	draw  func(string, int) int // a number below n
	flaw  flaw
	topic topicID

	// The coordinator.
	committed  [modelPartitions]committedOffset
	generation int32
	instances  map[int]string           // process -> its member id, while it is in the group
	assignment map[int][]int            // process -> partitions, of this generation
	flight     []*modelCommit           // sent, not yet arrived
	serial     int                      // of members, owners, transactions
	procs      [modelProcesses]*process // nil fields while down
}

type modelCommit struct {
	member     string
	generation int32
	offsets    map[int]committedOffset
	answer     *outcome // once it has arrived
}

// process is one directory and, while up, the session that runs on it.
type process struct {
	// On disk.
	decided  [modelPartitions][]int64 // the records that count
	prepared *modelTx
	position []byte

	// In memory.
	up         bool
	owner      owner
	generation int32
	synced     bool
	recovered  bool
	parts      map[int]*part
	tx         *modelTx
	sent       *modelCommit
	id         string // of this session's member
}

type modelTx struct {
	id       hourly.TxID
	position []byte
	member   string
	gen      int32
	records  map[int][]int64
	offsets  map[int]committedOffset
}

func newWorld(draw func(string, int) int, f flaw) *world {
	w := &world{draw: draw, flaw: f, topic: topicID{7}, instances: map[int]string{}, assignment: map[int][]int{}}
	for p := range w.committed {
		pinned := stamp{topicID: w.topic}
		w.committed[p] = committedOffset{0, pinned.encode()}
	}
	for i := range w.procs {
		w.procs[i] = &process{}
	}
	return w
}

func (w *world) next() int { w.serial++; return w.serial }

// step does one thing that can happen, drawn from all.
func (w *world) step() error {
	i := w.draw("process", modelProcesses)
	p := w.procs[i]
	switch w.draw("event", 12) {
	case 0, 1:
		if !p.up {
			w.start(i)
		} else if !p.synced {
			return w.sync(i)
		}
	case 2, 3, 4:
		w.poll(p)
	case 5:
		w.prepare(p)
	case 6, 7:
		w.send(p)
	case 8:
		w.arrive(w.draw("flight", len(w.flight)+1))
	case 9:
		return w.answer(i)
	case 10:
		switch w.draw("fault", 5) {
		case 0:
			w.crash(p)
		case 1:
			w.expel(i)
		case 2: // a rebalance for no reason of ours
			w.rebalance()
		case 3: // no answer comes
			if p.sent != nil {
				return w.unknown(i)
			}
		case 4: // the connection is lost, and with it what was on its way
			if n := len(w.flight); n > 0 {
				w.flight = slices.Delete(w.flight, n-1, n)
			}
		}
	case 11:
		w.resync(p)
	}
	return nil
}

// start joins the group: a process that is in it already takes its own place.
func (w *world) start(i int) {
	p := w.procs[i]
	*p = process{decided: p.decided, prepared: p.prepared, position: p.position, up: true}
	p.owner = owner(fmt.Sprintf("p%d-%d", i, w.next()))
	p.id = fmt.Sprint("member-", w.next())
	_, was := w.instances[i]
	if w.flaw != askTooEarly {
		w.instances[i] = p.id
		if !was {
			w.rebalance()
		}
	}
}

// rebalance begins a generation: who is in the group gets partitions.
func (w *world) rebalance() {
	w.generation++
	w.assignment = map[int][]int{}
	var in []int
	for i := range w.procs {
		if _, ok := w.instances[i]; ok {
			in = append(in, i)
		}
	}
	if len(in) == 0 {
		return
	}
	for part := range modelPartitions {
		to := in[w.draw("owner", len(in))]
		w.assignment[to] = append(w.assignment[to], part)
	}
}

// expel is the session time-out.
func (w *world) expel(i int) {
	if _, in := w.instances[i]; in {
		delete(w.instances, i)
		w.rebalance()
	}
}

// sync is the end of the join: recovery, then offsets.
func (w *world) sync(i int) error {
	p := w.procs[i]
	if !p.recovered {
		if err := w.recover(p); err != nil {
			return err
		}
		p.recovered = true
		if w.flaw == askTooEarly {
			return nil // and joins only now
		}
	}
	if w.flaw == askTooEarly && w.instances[i] != p.id {
		_, was := w.instances[i]
		w.instances[i] = p.id
		if !was {
			w.rebalance()
		}
		return nil // the assignment comes with the next sync
	}
	if w.instances[i] != p.id { // thrown out meanwhile: joins as new
		p.id = fmt.Sprint("member-", w.next())
		w.instances[i] = p.id
		w.rebalance()
		return nil
	}
	p.generation, p.synced, p.parts = w.generation, true, map[int]*part{}
	g := startRule{cfg: config.Kafka{StartOffset: "earliest"}, topicID: w.topic, directory: fmt.Sprintf("p%d", i)}
	if p.position != nil {
		last, err := decodePosition(p.position)
		if err != nil {
			return err
		}
		g.stored = last.storedAfter()
	}
	for _, n := range w.assignment[i] {
		at := w.committed[n]
		begin, history, err := g.begin(int32(n), at, bounds{0, modelEnd})
		if err != nil {
			return fmt.Errorf("process %d, partition %d: %w", i, n, err)
		}
		p.parts[n] = &part{id: int32(n), committed: begin, next: begin, stamp: history}
	}
	return nil
}

func (w *world) recover(p *process) error {
	tx := p.prepared
	if tx == nil {
		return nil
	}
	pos, err := decodePosition(tx.position)
	if err != nil {
		return err
	}
	group := map[int32]committedOffset{}
	for n, at := range w.committed {
		group[int32(n)] = at
	}
	v, err := resolve(tx.id, pos, group)
	switch {
	case w.flaw == alwaysDrop:
		v = dropped
	case w.flaw == alwaysKeep:
		v = committed
	case err != nil:
		return err
	}
	if v == committed {
		p.decide(tx)
	} else {
		p.prepared = nil
	}
	return nil
}

func (p *process) decide(tx *modelTx) {
	for n, records := range tx.records {
		p.decided[n] = append(p.decided[n], records...)
	}
	p.prepared, p.position = nil, tx.position
}

// resync is a live member that notices a new generation: only with no
// transaction open, since rebalances are blocked while one is.
func (w *world) resync(p *process) {
	if p.up && p.synced && p.tx == nil && p.sent == nil {
		p.synced, p.parts = false, nil
	}
}

func (w *world) poll(p *process) {
	if !p.up || !p.synced || len(p.parts) == 0 || p.sent != nil || p.prepared != nil {
		return
	}
	var ids []int
	for n := range p.parts {
		ids = append(ids, n)
	}
	slices.Sort(ids)
	n := ids[w.draw("partition", len(ids))]
	pt := p.parts[n]
	take := min(int64(1+w.draw("records", 4)), modelEnd-pt.next)
	if take == 0 {
		return
	}
	if p.tx == nil {
		p.tx = &modelTx{member: p.id, gen: p.generation, records: map[int][]int64{}}
	}
	for range take {
		p.tx.records[n] = append(p.tx.records[n], pt.next)
		pt.next++
	}
}

func (w *world) prepare(p *process) {
	if p.tx == nil || p.prepared != nil {
		return
	}
	tx := p.tx
	tx.id = hourly.TxID{byte(w.next()), byte(w.serial >> 8)}
	pos := &position{TopicID: w.topic, Owner: p.owner, Generation: tx.gen}
	if p.position != nil {
		last, _ := decodePosition(p.position)
		pos.Stored = last.storedAfter()
	}
	tx.offsets = map[int]committedOffset{}
	for n := range modelPartitions {
		if len(tx.records[n]) == 0 {
			continue
		}
		pt := p.parts[n]
		pos.Spans = append(pos.Spans, span{int32(n), pt.committed, pt.next})
		history := pt.stamp
		if w.flaw == noHistory {
			history = stamp{}
		}
		s := history.follow(p.owner, pt.committed, tx.id, w.topic)
		tx.offsets[n] = committedOffset{pt.next, s.encode()}
	}
	tx.position = pos.encode()
	if w.flaw != forgetPrepared {
		p.prepared = tx
	}
}

func (w *world) send(p *process) {
	if p.tx == nil || p.tx.offsets == nil {
		return
	}
	if p.sent != nil && (w.flaw != sendTwice || p.sent.answer != nil) {
		return
	}
	p.sent = &modelCommit{member: p.tx.member, generation: p.tx.gen, offsets: p.tx.offsets}
	w.flight = append(w.flight, p.sent)
}

// arrive is the coordinator taking or refusing a commit, in any order.
func (w *world) arrive(n int) {
	if n >= len(w.flight) {
		return
	}
	c := w.flight[n]
	w.flight = slices.Delete(w.flight, n, n+1)
	o := refused
	for i := range w.procs {
		if w.instances[i] == c.member && c.generation == w.generation {
			o = applied
		}
	}
	if w.flaw == unfenced {
		o = applied
	}
	if o == applied {
		for p, at := range c.offsets {
			w.committed[p] = at
		}
	}
	c.answer = &o
}

// answer is the process hearing what became of its commit.
func (w *world) answer(i int) error {
	p := w.procs[i]
	if p.sent == nil || p.sent.answer == nil {
		return nil
	}
	out := *p.sent.answer
	tx := p.tx
	p.sent, p.tx = nil, nil
	if out == applied {
		for n := range tx.records {
			pt := p.parts[n]
			pt.committed = pt.next
			pt.stamp, _ = parseStamp(tx.offsets[n].metadata)
		}
		p.decide(tx)
		return nil
	}
	p.prepared = nil // rolled back
	w.start(i)       // and a new session
	return nil
}

// unknown is no answer within the time: the session ends, the transaction stays
// prepared.
func (w *world) unknown(i int) error {
	w.start(i)
	return nil
}

func (w *world) crash(p *process) {
	*p = process{decided: p.decided, prepared: p.prepared, position: p.position}
}
