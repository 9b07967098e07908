// Package audit reads everything that was stored, in the logs directory and in
// the archive, and tells whether it is whole (Verify), or gives it out (Export).
// It takes no lock and changes nothing, so that it can run beside a live server.
//
// Beside a live server everything grows while it is read. What grows is read in
// an order in which a later reading has at least as much as an earlier one: what
// destinations have, then the summary, then the files.
package audit
