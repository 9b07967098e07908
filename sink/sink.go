package sink

import (
	"context"
	"errors"
	"fmt"

	"logforge/codec"
)

// Ack is where a batch has to be before it is acknowledged.
type Ack uint8

// Acknowledgement levels. The zero value means the sink's configured one.
const (
	Default    Ack = iota
	Written        // pipeline 1: handed to the operating system; survives the death of the process
	Synced         // pipeline 1: on disk
	Enqueued       // pipeline 2: in this process's bounded buffer
	Replicated     // pipeline 2: on every in-sync replica
)

var ackNames = [...]string{"", "written", "synced", "enqueued", "replicated"}

func (a Ack) String() string { return ackNames[a] }

// ParseAck reads one of written, synced, enqueued, replicated; the empty string
// is Default.
func ParseAck(s string) (Ack, error) {
	for a, name := range ackNames {
		if s == name {
			return Ack(a), nil
		}
	}
	return Default, fmt.Errorf("%q is not an acknowledgement level: use written or synced (pipeline 1), replicated or enqueued (pipeline 2)", s)
}

// Sink is where batches go. hourly.Files and kafka.Producer are the two of them.
type Sink interface {
	// Write stores b and returns when it is where ack says, or with its cause
	// when ctx ends before. On an error nothing is claimed: see the errors below
	// for what the caller can expect.
	//
	// The batch is the caller's again when Write returns, to be given back with
	// codec.PutBatch. After an error of ctx the sink may read it for longer (see
	// codec.Batch.Keep): then it may only be given back.
	//
	// The end of ctx ends the waiting, never another caller's batch. A ctx
	// without a deadline may not end it while Write does the work itself.
	Write(ctx context.Context, b *codec.Batch, ack Ack) error
}

// What a caller decides on. Anything else is an internal error.
var (
	// ErrFull: no room within the wait. Nothing of the batch was stored.
	ErrFull = errors.New("buffer full")
	// ErrDiskFull: the file system has no room. Nothing of the batch was stored.
	ErrDiskFull = errors.New("disk full")
	// ErrStorage: the files cannot be written for another reason that may pass.
	// Nothing of the batch was stored.
	ErrStorage = errors.New("storage unavailable")
	// ErrUnsynced, with ErrDiskFull or ErrStorage: the batch was written, and could not
	// be synced as its acknowledgement level asks. It may be stored or not.
	ErrUnsynced = errors.New("written and not synced")
	// ErrUnavailable: Kafka could not be reached in time; the batch may or may not arrive.
	ErrUnavailable = errors.New("kafka unreachable")
	// ErrRefused: Kafka answers and refuses the batch until a person changes
	// a right, a setting or the topic. Nothing of the batch was stored.
	ErrRefused = errors.New("kafka refuses records")
	// ErrDegraded: batches are accepted, but a part of the process has ended or
	// cannot go on until a person acts. Wrapped by what Ready functions
	// return, never by a Write.
	ErrDegraded = errors.New("degraded")
	// ErrClosed: the sink is closed or closing. Nothing of the batch was stored.
	ErrClosed = errors.New("shutting down")
	// ErrAck: this sink cannot give the acknowledgement level asked for.
	ErrAck = errors.New("acknowledgement level not offered by this pipeline")
)
