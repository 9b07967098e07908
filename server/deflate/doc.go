// Package deflate inflates gzip (RFC 1952), zlib (RFC 1950) and bare DEFLATE
// (RFC 1951) bodies that are in memory as a whole.
//
// A request body is complete before it is inflated, and so is the memory it is
// inflated into. A decoder for that case needs no window of its own: the output
// is the window. It can load eight bytes of input at a time, store eight bytes of
// a match at a time, and has to look at the ends of its two slices only once a
// symbol. compress/flate and klauspost/compress read from an io.Reader and copy
// out of a window of 32 KiB, and cannot. Both stay in the tests, one as the
// oracle, the other beside this one in the benchmark.
//
// # Bounds
//
// Nothing is allocated for the output: Append fills what the slice has and then
// says ErrShort, so that its caller decides whether, and by how much, to grow it.
// No size in the input (gzip's trailer, say) is trusted before the output has
// it; both checksums are compared.
package deflate
