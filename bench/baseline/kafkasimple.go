package main

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/twmb/franz-go/pkg/kgo"
)

// simpleProducer is the usual way into Kafka: a message for each line.
type simpleProducer struct{ client *kgo.Client }

func (p simpleProducer) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	batch, err := decode(req)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	messages := make([]*kgo.Record, len(batch))
	for i := range batch {
		line, err := json.Marshal(&batch[i])
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		messages[i] = kgo.SliceRecord(line)
	}
	if err := p.client.ProduceSync(req.Context(), messages...).FirstErr(); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	w.WriteHeader(http.StatusAccepted)
}

// consumeSimple is the usual way out of it: message by message into
// the file, each committed before the next.
func consumeSimple(client *kgo.Client, dir string) error {
	h := simple{dir}
	for {
		fetches := client.PollFetches(context.Background())
		if err := fetches.Err(); err != nil {
			return err
		}
		for _, message := range fetches.Records() {
			var r record
			if err := json.Unmarshal(message.Value, &r); err != nil {
				return err
			}
			if err := h.store([]record{r}); err != nil {
				return err
			}
			if err := client.CommitRecords(context.Background(), message); err != nil {
				return err
			}
		}
		client.AllowRebalance()
	}
}
