package peers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/goccy/go-json"
	"github.com/goccy/go-json/jsontext"

	"logforge/codec"
)

// summary is what is used of an answer: of one hour, or of a range.
type summary struct {
	Hour      string            `json:"hour"`
	Records   uint64            `json:"records"`
	Malformed uint64            `json:"malformed"`
	Paths     map[string]uint64 `json:"requestsPerPath"`
	Agents    map[string]uint64 `json:"requestsPerUserAgent"`
	Missing   []string          `json:"missing"`
	Hours     []summary         `json:"hours"`
}

// sum is the sum of summaries.
type sum struct {
	records, malformed uint64
	paths, agents      counts
}

// counts is the sum of maps of which each may name its largest counts only.
type counts struct {
	n map[string]uint64
	// lowBy is by how much a count may be too low.
	lowBy uint64
}

func (s *sum) add(part summary) {
	s.records += part.Records
	s.malformed += part.Malformed
	s.paths.add(part.Paths, part.Records)
	s.agents.add(part.Agents, part.Records)
}

// add adds a part, which counts records. If its counts do not add up to them, it
// names its largest only: each key that it does not name may have been counted as
// often as the least of those.
func (c *counts) add(part map[string]uint64, records uint64) {
	if c.n == nil {
		c.n = make(map[string]uint64, len(part))
	}
	var named uint64
	least := records
	for key, n := range part {
		c.n[key] += n
		named += n
		least = min(least, n)
	}
	if named < records {
		c.lowBy += min(least, records-named)
	}
}

// parts is what all instances together have.
type parts struct {
	sum
	answers int // of instances that have a summary
	missing map[string]bool
	hours   map[string]*sum
	peers   []status
}

// status is what became of one peer.
type status struct {
	URL      string `json:"url"`
	Answered bool   `json:"answered"`
	Error    string `json:"error,omitempty"`
}

func (p *parts) silent() int {
	n := 0
	for _, s := range p.peers {
		if !s.Answered {
			n++
		}
	}
	return n
}

func (p *parts) add(body []byte) error {
	var part summary
	if err := json.Unmarshal(body, &part); err != nil {
		return fmt.Errorf("it is no summary: %w", err)
	}
	p.answers++
	p.sum.add(part)
	for _, h := range part.Missing {
		p.missing[h] = true
	}
	for _, h := range part.Hours {
		if p.hours[h.Hour] == nil {
			p.hours[h.Hour] = &sum{}
		}
		p.hours[h.Hour].add(h)
	}
	return nil
}

// answer is what one instance has sent.
type answer struct {
	body     []byte // nil: it has no summary
	instance string
}

// ask asks this instance, by local, and all peers, by query, and adds up what they
// have. The error is that of local.
func (v *View) ask(ctx context.Context, query string, local func() ([]byte, error)) (*parts, error) {
	p := &parts{missing: map[string]bool{}, hours: map[string]*sum{}}
	var room atomic.Int64
	room.Store(maxBytes)
	answers := make([]answer, len(v.peers))
	byURL := make(map[string]*answer, len(v.peers))
	for i, peer := range v.peers {
		byURL[peer] = &answers[i]
	}
	own := make(chan error, 1)
	var body []byte
	go func() {
		var err error
		body, err = local()
		own <- err
	}()
	failed := v.each(ctx, func(ctx context.Context, peer string) (err error) {
		*byURL[peer], err = v.fetch(ctx, peer, "/analytics?"+query, &room)
		return err
	})
	if err := <-own; err == nil {
		if err := p.add(body); err != nil {
			return nil, err
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	seen := map[string]bool{v.instance: true}
	for i, peer := range v.peers {
		a := answers[i]
		answers[i].body = nil
		err := failed[peer]
		switch {
		case err != nil:
		case a.instance != "" && seen[a.instance]:
			continue // this instance, or one that another address leads to
		case a.body != nil:
			if err = p.add(a.body); err != nil {
				v.failed(peer, err)
			}
		}
		seen[a.instance] = true
		s := status{URL: peer, Answered: err == nil}
		if err != nil {
			s.Error = err.Error()
		}
		p.peers = append(p.peers, s)
	}
	return p, nil
}

// fetch asks one peer. What it sends is taken out of room.
func (v *View) fetch(ctx context.Context, peer, path string, room *atomic.Int64) (answer, error) {
	var a answer
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, peer+path+"&"+Local+"=true", nil)
	if err != nil {
		return a, err
	}
	if k := v.key.Load(); k.value != "" {
		req.Header.Set(k.header, k.value)
	}
	resp, err := v.client.Do(req)
	if err != nil {
		return a, err
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	a.instance = resp.Header.Get(Header)
	switch {
	case a.instance == v.instance, resp.StatusCode == http.StatusNotFound && a.instance != "":
		return a, nil
	case resp.StatusCode != http.StatusOK:
		return a, fmt.Errorf("it answered %s", resp.Status)
	}
	a.body, err = io.ReadAll(&roomReader{resp.Body, room})
	return a, err
}

// roomReader reads as long as there is room.
type roomReader struct {
	in   io.Reader
	room *atomic.Int64
}

func (r *roomReader) Read(p []byte) (int, error) {
	n, err := r.in.Read(p)
	if r.room.Add(-int64(n)) < 0 {
		return 0, fmt.Errorf("all instances together have more than %d MiB: ask for fewer hours, or for top=N of each", maxBytes>>20)
	}
	return n, err
}

// fetchSpan asks one peer for its days.
func (v *View) fetchSpan(ctx context.Context, peer string) (codec.Span, string, error) {
	var room atomic.Int64
	room.Store(1 << 10)
	a, err := v.fetch(ctx, peer, "/analytics/days?", &room)
	if err != nil || a.body == nil {
		return codec.Span{}, a.instance, err
	}
	var days struct{ First, Recent, Last string }
	if err := json.Unmarshal(a.body, &days); err != nil || days.First == "" {
		return codec.Span{}, a.instance, err
	}
	var span codec.Span
	for _, day := range []struct {
		text string
		hour *codec.Hour
	}{{days.First, &span.First}, {days.Recent, &span.Recent}, {days.Last, &span.Last}} {
		t, err := time.Parse(time.DateOnly, day.text)
		if err != nil {
			return codec.Span{}, a.instance, err
		}
		*day.hour = codec.HourOf(t)
	}
	span.Known = true
	return span, a.instance, nil
}

// The answers, written as server.Summaries says, with what became of each peer.

func (p *parts) appendHour(dst []byte, h codec.Hour, top int) []byte {
	dst = append(dst, `{"hour":"`...)
	dst = h.Time().AppendFormat(dst, time.RFC3339)
	dst = append(dst, `",`...)
	dst = p.sum.append(dst, top)
	return append(p.appendPeers(dst), "}\n"...)
}

func (p *parts) appendRange(dst []byte, from, to codec.Hour, top, hourTop int) []byte {
	dst = append(dst, `{"from":"`...)
	dst = from.Time().AppendFormat(dst, time.RFC3339)
	dst = append(dst, `","to":"`...)
	dst = to.Time().AppendFormat(dst, time.RFC3339)
	dst = append(dst, `",`...)
	dst = p.sum.append(dst, top)
	dst = p.appendPeers(dst)
	dst = append(dst, `,"missing":[`...)
	for i, h := range sortedKeys(p.missing) {
		dst = comma(dst, i)
		dst = appendQuoted(dst, h)
	}
	dst = append(dst, `],"hours":[`...)
	for i, h := range sortedKeys(p.hours) {
		dst = comma(dst, i)
		dst = append(dst, `{"hour":`...)
		dst = append(appendQuoted(dst, h), ',')
		dst = append(p.hours[h].append(dst, hourTop), '}')
	}
	return append(dst, "]}\n"...)
}

func (p *parts) appendPeers(dst []byte) []byte {
	dst = append(dst, `,"peers":`...)
	if len(p.peers) == 0 {
		return append(dst, "[]"...)
	}
	text, err := json.Marshal(p.peers)
	if err != nil { // which holds strings and booleans only
		text = []byte("null")
	}
	return append(dst, text...)
}

// append appends the members of a summary, with the top largest counts of each
// map, or all if top is 0.
func (s *sum) append(dst []byte, top int) []byte {
	dst = fmt.Appendf(dst, `"records":%d,"malformed":%d,"requestsPerPath":{`, s.records, s.malformed)
	dst = s.paths.append(dst, top)
	dst = append(dst, `},"requestsPerUserAgent":{`...)
	dst = append(s.agents.append(dst, top), '}')
	if s.paths.lowBy+s.agents.lowBy > 0 {
		dst = fmt.Appendf(dst, `,"countsLowBy":{"requestsPerPath":%d,"requestsPerUserAgent":%d}`, s.paths.lowBy, s.agents.lowBy)
	}
	return dst
}

func (c *counts) append(dst []byte, top int) []byte {
	type entry struct {
		key string
		n   uint64
	}
	entries := make([]entry, 0, len(c.n))
	for key, n := range c.n {
		entries = append(entries, entry{key, n})
	}
	slices.SortFunc(entries, func(a, b entry) int { return cmp.Or(cmp.Compare(b.n, a.n), cmp.Compare(a.key, b.key)) })
	if top > 0 && top < len(entries) {
		entries = entries[:top]
	}
	for i, e := range entries {
		dst = comma(dst, i)
		dst = append(appendQuoted(dst, e.key), ':')
		dst = fmt.Append(dst, e.n)
	}
	return dst
}

func comma(dst []byte, i int) []byte {
	if i > 0 {
		dst = append(dst, ',')
	}
	return dst
}

func appendQuoted(dst []byte, text string) []byte {
	quoted, err := jsontext.AppendQuote(dst, text)
	if err != nil { // of invalid UTF-8, which has become U+FFFD
		return quoted
	}
	return quoted
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
