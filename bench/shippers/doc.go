// Package shippers runs real log shippers against a real server, with the
// configuration that docs/shippers.md gives: all 10,000 lines of a real access
// log through each, of which every one has to be stored or set aside, once.
//
//	make test-shippers
//
// install.sh brings the shippers along: Debian packages, Go modules (each in a
// module of its own here, so that nothing of theirs comes into the server's), and
// what PyPI and npm have.
package shippers
