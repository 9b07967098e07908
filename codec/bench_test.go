package codec_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	gojson "github.com/goccy/go-json"

	"logforge/bench/corpus"
	"logforge/codec"
)

// Every form of a body, in three sizes, beside what others do with the same
// bytes. The others decode into structs and stop there: nothing is trimmed,
// normalised, split by hour or written out. goccy and encoding-json parse the
// timestamp, as logforge does; goccy-strings leaves it a string. encoding-csv is
// with time.Parse.
//
//	go test -run '^$' -bench Decode -count 10 ./codec > new.txt
//	benchstat -col /impl new.txt

type parsed struct {
	Timestamp time.Time `json:"timestamp"`
	Path      string    `json:"path"`
	UserAgent string    `json:"userAgent"`
}

type unparsed struct {
	Timestamp string `json:"timestamp"`
	Path      string `json:"path"`
	UserAgent string `json:"userAgent"`
}

// decoder makes something of a body of that many records.
type decoder func(body []byte, records int) error

func BenchmarkDecode(b *testing.B) {
	for _, form := range corpus.Forms {
		for _, batch := range []int{1, 100, 1000} {
			body := form.Append(nil, corpus.Records(1, batch, 1))
			run := func(name string, f decoder) {
				b.Run(fmt.Sprintf("form=%s/batch=%d/impl=%s", form.Name, batch, name), func(b *testing.B) {
					b.SetBytes(int64(len(body)))
					b.ReportAllocs()
					for b.Loop() {
						if err := f(body, batch); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
			run("logforge", ours(formatOf(form)))
			switch {
			case formatOf(form) == codec.CSV:
				run("encoding-csv", csvRows(form.Name == "csv-headed", false))
				run("encoding-csv-reused", csvRows(form.Name == "csv-headed", true))
			case form.Name == "ndjson" || form.Name == "objects":
				run("goccy", lines(gojson.Unmarshal, new(parsed)))
				run("goccy-strings", lines(gojson.Unmarshal, new(unparsed)))
				run("encoding-json", lines(json.Unmarshal, new(parsed)))
			default:
				run("goccy", array[parsed](gojson.Unmarshal))
				run("goccy-strings", array[unparsed](gojson.Unmarshal))
				run("encoding-json", array[parsed](json.Unmarshal))
			}
		}
	}
}

// BenchmarkAccessLog decodes different bodies of a real log in turn. Where the texts
// end is then as hard to predict as in service; a body that is decoded again and
// again is learned by heart by the processor.
func BenchmarkAccessLog(b *testing.B) {
	recs, err := corpus.OpenAccessLog("../bench/testdata/access.log.gz")
	if err != nil {
		b.Fatal(err)
	}
	for _, form := range corpus.Forms {
		for _, batch := range []int{1, 1000} {
			bodies := form.Bodies(recs[:5000+5*batch], batch)
			b.Run(fmt.Sprintf("form=%s/batch=%d", form.Name, batch), func(b *testing.B) {
				b.ReportAllocs()
				f := ours(formatOf(form))
				for i := 0; b.Loop(); i++ {
					if err := f(bodies[i%len(bodies)], batch); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkRegroup is a batch whose hours come mixed, as a replay sends them.
func BenchmarkRegroup(b *testing.B) {
	for _, hours := range []int{1, 2, 24, 1000} {
		recs := corpus.Records(1, 1000, hours)
		mixed := make([]corpus.Record, 0, len(recs))
		for i := range 500 { // from both ends to the middle
			mixed = append(mixed, recs[i], recs[len(recs)-1-i])
		}
		body := corpus.AppendNDJSON(nil, mixed)
		b.Run(fmt.Sprintf("hours=%d", hours), func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			f := ours(codec.NDJSON)
			for b.Loop() {
				if err := f(body, len(mixed)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

var errCount = errors.New("not that many records")

// ours is what the server does, with the pool and its default limits.
func ours(f codec.Format) decoder {
	return func(body []byte, records int) error {
		b := codec.GetBatch()
		defer codec.PutBatch(b)
		if err := b.Decode(body, f, codec.Limits{Records: 100_000, RecordBytes: 256 << 10, Depth: 64}); err != nil {
			return err
		}
		if b.Records() != records {
			return errCount
		}
		return nil
	}
}

// array uses its slice again.
func array[T any](unmarshal func([]byte, any) error) decoder {
	var list []T
	return func(body []byte, records int) error {
		list = list[:0]
		if err := unmarshal(body, &list); err != nil {
			return err
		}
		if len(list) != records {
			return errCount
		}
		return nil
	}
}

// lines unmarshals one line after another; objects that are on one line are
// told apart first.
func lines(unmarshal func([]byte, any) error, one any) decoder {
	return func(body []byte, records int) error {
		for len(body) > 0 {
			line := body
			if n := bytes.IndexByte(body, '\n'); n >= 0 {
				line = body[:n+1]
			} else if n := bytes.Index(body, []byte(`"}{"`)); n >= 0 {
				line = body[:n+2]
			}
			body = body[len(line):]
			if err := unmarshal(line, one); err != nil {
				return err
			}
			records--
		}
		if records != 0 {
			return errCount
		}
		return nil
	}
}

// csvRows uses its slice of structs again; and, if reuse, the slice of fields.
func csvRows(headed, reuse bool) decoder {
	columns := [3]int{0, 1, 2}
	if headed {
		columns = [3]int{1, 0, 2}
	}
	var list []parsed
	return func(body []byte, records int) error {
		r := csv.NewReader(bytes.NewReader(body))
		r.FieldsPerRecord, r.ReuseRecord = 3, reuse
		if headed {
			if _, err := r.Read(); err != nil {
				return err
			}
		}
		list = list[:0]
		for {
			fields, err := r.Read()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return err
			}
			t, err := time.Parse(time.RFC3339Nano, fields[columns[0]])
			if err != nil {
				return err
			}
			list = append(list, parsed{t, fields[columns[1]], fields[columns[2]]})
		}
		if len(list) != records {
			return errCount
		}
		return nil
	}
}
