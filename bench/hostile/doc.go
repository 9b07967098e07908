// Package hostile is clients that mean harm, or behave as if they did, and what
// has to hold against them: the memory that the real program takes stays below
// its bound, an honest client gets through within seconds, and nothing that was
// acknowledged is lost.
//
// Each kind of client is a function in one of the files named after what it
// takes: connections.go, bodies.go, answers.go. Kinds lists all of them.
//
//	go test ./bench/hostile -run Memory -v                   all kinds together, both versions
//	go test ./bench/hostile -run Memory -v -hostile.long     each kind alone, and all together for longer
//	go test ./bench/hostile -run Memory -v -hostile.only ''  nobody but the honest client
//
// The first is part of make test, the second of make chaos.
package hostile
