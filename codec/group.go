package codec

import "slices"

// Regrouping: records arrive in any order of their hours, a sink wants each
// hour's lines in one piece. Nothing is done where they are so already, which
// is nearly always.

// regroup makes exactly one run per hour, ascending, with the lines of an hour
// in the order in which they arrived. The cost is one more copy of the lines
// and a radix sort of the runs: linear, whatever the hours are.
func (b *Batch) regroup() {
	if !b.unsorted {
		return
	}
	b.unsorted = false
	b.sortRuns()

	out := slices.Grow(b.scratch[:0], len(b.buf))
	runs := b.runs
	n := 0 // runs[:n] are done
	for i := 0; i < len(runs); {
		one := Run{Hour: runs[i].Hour, start: len(out)}
		for ; i < len(runs) && runs[i].Hour == one.Hour; i++ {
			one.Records += runs[i].Records
			out = append(out, b.buf[runs[i].start:runs[i].end]...)
		}
		one.end = len(out)
		runs[n] = one
		n++
	}
	b.runs = runs[:n]
	b.buf, b.scratch = out, b.buf
}

// sortRuns sorts the runs by hour and keeps the order of those that are equal:
// a byte of the hour at a time, the lowest first, and only as many bytes as
// the range of hours has. Ten days are one byte, seven years are two.
func (b *Batch) sortRuns() {
	lo, hi := b.runs[0].Hour, b.runs[0].Hour
	for _, r := range b.runs[1:] {
		lo, hi = min(lo, r.Hour), max(hi, r.Hour)
	}
	b.spare = slices.Grow(b.spare[:0], len(b.runs))[:len(b.runs)]
	for shift := 0; (hi-lo)>>shift > 0; shift += 8 {
		var at [256]int // where the next run with that byte goes
		for _, r := range b.runs {
			at[uint8((r.Hour-lo)>>shift)]++
		}
		sum := 0
		for i, n := range at {
			at[i], sum = sum, sum+n
		}
		for _, r := range b.runs {
			k := uint8((r.Hour - lo) >> shift)
			b.spare[at[k]] = r
			at[k]++
		}
		b.runs, b.spare = b.spare, b.runs
	}
}
