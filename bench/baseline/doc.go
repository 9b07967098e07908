// Command baseline runs the servers that logforge is measured against:
//
//	discard  receives each body and throws it away: what HTTP alone costs
//	append   appends each body to one file as it came: what HTTP and the page
//	         cache cost, with nothing looked at
//	simple   the usual way: net/http, encoding/json into structs and out
//	         again, a file opened for each batch, a system call for each record
//	kafka-raw    each body is one Kafka record as it came, and is appended to
//	             one file as it came by a consumer in the same process
//	kafka-simple  the usual way through Kafka: one message a line, one commit
//	             a message
//
// discard, append and kafka-raw bound what a server that looks at its records can do.
// They use the same HTTP library as logforge with the same settings, so that
// the ratio to them is what decoding, splitting by hour and grouping cost.
//
// Usage: go run ./bench/baseline -mode append -addr 127.0.0.1:8090 -dir /var/tmp/baseline
package main
