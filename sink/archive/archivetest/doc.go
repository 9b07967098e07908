// Package archivetest starts real destinations of the archive for tests: an S3
// server (versitygw, over a directory) and PostgreSQL. What they need is made
// once: the gateway is built into .tools, PostgreSQL is a package of the system.
//
// S3Server and Database are shared by all tests of a run, each test with a
// bucket or a database of its own; OwnS3 and OwnDatabase can be killed. Proxy and
// Cable are between a client and a server and do what networks do.
//
// s3.sh and postgres.sh, which do the work, are for people as well: make s3-up,
// make postgres-up.
package archivetest
