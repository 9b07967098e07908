// Package logging holds what the program's own log needs beside log/slog.
//
//	Writer      takes lines without ever waiting for the log's reader
//	Throttle    logs a repeated warning or error once an interval, with a count
//	Quiet       makes debug of a library's info
//
// Throttle and Quiet are slog handlers around another one. The log of a
// service is written by many and read by whatever the operator has put behind
// standard error: a pipe whose reader has ended or does not read must neither end
// nor delay the service, so Writer drops lines rather than wait, and counts
// them.
package logging
