package dialect

import (
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// otlpMessage returns an ExportLogsServiceRequest with n records.
func otlpMessage(n int) []byte {
	text := func(s string) []byte { return appendProtoBytes(nil, 1, []byte(s)) }
	pair := func(key string, value []byte) []byte {
		return appendProtoBytes(appendProtoBytes(nil, 1, []byte(key)), 2, value)
	}
	var scope []byte
	for i := range n {
		var r []byte
		r = protowire.AppendFixed64(protowire.AppendTag(r, 1, protowire.Fixed64Type), uint64(arrived.Add(time.Duration(i)).UnixNano()))
		r = protowire.AppendFixed64(protowire.AppendTag(r, 11, protowire.Fixed64Type), 1)
		r = appendProtoBytes(r, 5, text(accessLine))
		r = appendProtoBytes(r, 6, pair("log.file.name", text("access.log")))
		r = appendProtoBytes(r, 6, pair("n", appendProtoUint(nil, 3, uint64(i))))
		scope = appendProtoBytes(scope, 2, r)
	}
	resource := appendProtoBytes(nil, 1, pair("service.name", text("nginx")))
	return appendProtoBytes(nil, 1, appendProtoBytes(appendProtoBytes(nil, 2, scope), 1, resource))
}

// deepOTLP returns one record whose body is nested in that many lists.
func deepOTLP(depth int) []byte {
	value := appendProtoBytes(nil, 1, []byte("x"))
	for range depth {
		value = appendProtoBytes(nil, 5, appendProtoBytes(nil, 1, value))
	}
	return appendProtoBytes(nil, 1, appendProtoBytes(nil, 2, appendProtoBytes(nil, 2, appendProtoBytes(nil, 5, value))))
}

// lokiMessage returns a PushRequest with n entries.
func lokiMessage(n int) []byte {
	stream := appendProtoBytes(nil, 1, []byte(`{job="nginx", host="a\"b"}`))
	for i := range n {
		at := appendProtoUint(appendProtoUint(nil, 1, uint64(arrived.Unix())), 2, uint64(i))
		entry := appendProtoBytes(appendProtoBytes(nil, 1, at), 2, []byte(accessLine))
		entry = appendProtoBytes(entry, 3, appendProtoBytes(appendProtoBytes(nil, 1, []byte("trace")), 2, []byte("t")))
		stream = appendProtoBytes(stream, 2, entry)
	}
	return appendProtoBytes(nil, 1, stream)
}

const accessLine = `192.0.2.10 - - [17/May/2015:10:05:03 +0000] "GET /presentations/kibana-search.png HTTP/1.1" 200 203023 "http://example.test/presentations/" "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_9_1) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/32.0.1700.77 Safari/537.36"`
