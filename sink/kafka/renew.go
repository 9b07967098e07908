package kafka

// What the client knows of the topic can become wrong while it runs: the topic
// was made again, or takes smaller record batches than before. franz-go adopts
// neither by itself; another client then takes the place of the one that sends to
// the topic, and what had not been delivered is sent once more.

import (
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"
)

// renewal says whether another client is about to take the place of the one that
// sends to the topic. While it is, nothing is sent.
type renewal uint8

const (
	none renewal = iota
	// awaitRead: the settings of the topic are about to be read, because it has
	// refused a record batch for its size.
	awaitRead
	// whenIdle: the client is replaced once everything in flight has its outcome,
	// because closing it would leave the outcome open.
	whenIdle
	// atOnce: the topic that was sent to is gone, and everything in flight with it.
	atOnce
)

// batchLimitOf is what franz-go asks when it learns of a topic's partitions.
func (p *Producer) batchLimitOf(topic string) int32 {
	if topic == p.cfg.Topic || topic == "" {
		return p.batchLimit.Load()
	}
	return int32(min(otherTopicBytes, int(p.cfg.MaxMessageBytes)))
}

// limitBatches sets the sizes of what is sent from now on.
func (p *Producer) limitBatches(batch int) {
	p.batchLimit.Store(int32(batch))
	p.recordBytes.Store(int32(max(1, min(int(p.cfg.RecordBytes), batch-batchOverhead))))
}

// foundTopic is called with the state of the topic whenever its settings were
// read, and decides what has to be renewed.
func (p *Producer) foundTopic(now topicState) {
	p.mu.Lock()
	defer p.mu.Unlock()
	was := p.topicRead
	p.topicRead = now
	limit, current := min(now.settings.batchBytes, p.largest), int(p.batchLimit.Load())
	switch {
	case p.tooLarge && limit >= current:
		// Refused although the settings allow it: they could not be read, or
		// something between here and the broker has a limit of its own.
		limit = max(current/2, p.needed)
	case was.settings.batchBytes == now.settings.batchBytes:
		limit = current
	}
	p.tooLarge = false
	first := was.id == (topicID{})
	if !first && was.partitions != now.partitions {
		p.toTopic.Load().ForceMetadataRefresh() // new partitions are produced to at once
	}
	switch {
	case !first && was.id != now.id:
		p.log.Warn("the topic was made again: what had not been delivered is sent to the new one", "topic", p.cfg.Topic, "was", was.id, "is", now.id)
		p.renewal = atOnce
	case limit != current && first:
		// The client knows nothing of the topic yet.
	case limit != current:
		p.renewal = max(p.renewal, whenIdle)
	case p.renewal == awaitRead:
		p.renewal = none
	}
	if limit != current {
		p.log.Info("size of the record batches that are sent to the topic", "topic", p.cfg.Topic, "was", current, "is", limit)
		p.limitBatches(limit)
	}
	p.wakeTend()
}

// renew takes another client when it is time to. It belongs to tend.
//
// franz-go could be told to forget the topic instead (PurgeTopicsFromClient). It
// then numbers its record batches from 0 again, as the same producer, and the
// broker takes a batch whose number it has seen for a repetition: it acknowledges
// it and stores nothing. Only another client is another producer.
func (p *Producer) renew() {
	p.mu.Lock()
	due := p.renewal == atOnce || p.renewal == whenIdle && p.inFlight == 0
	p.mu.Unlock()
	if !due {
		return
	}
	next, err := p.newToTopic()
	if err != nil {
		p.log.Error("no new kafka client; trying again", "err", err)
		return
	}
	p.mu.Lock()
	p.epoch++
	p.mu.Unlock()
	p.toTopic.Swap(next).Close() // fails what is in flight
	p.renewals.Inc()
	p.mu.Lock()
	p.renewal = none
	p.mu.Unlock()
}

// sendsAgain reports whether what c could not deliver is sent once more, because
// the topic has refused it for its size, which stores nothing, or because the
// topic that it was sent to is gone. p.mu is held.
func (p *Producer) sendsAgain(c *chunk) bool {
	if p.closed || c.tries >= maxTries {
		return false
	}
	if c.epoch != p.epoch {
		return true
	}
	if !errors.Is(c.err, kerr.MessageTooLarge) && !errors.Is(c.err, kerr.RecordListTooLarge) {
		return false
	}
	if p.renewal >= whenIdle {
		// The client that was refused is about to be replaced, by one that sends
		// batches of another size.
		return true
	}
	if int(p.batchLimit.Load()) <= p.needed {
		return false // smaller batches there are none
	}
	p.tooLarge = true
	if p.renewal == none {
		p.renewal = awaitRead
	}
	p.client.reread.Store(true)
	p.client.hooks.suspect()
	return true
}
