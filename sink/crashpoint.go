//go:build !crashpoints

package sink

// crashPoint is where a test build can end the process; see crashpoint_on.go.
func crashPoint(string) {}
