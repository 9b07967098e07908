//go:build !crashpoints

package hourly

// crashPoint is where a test build can end the process; see crashpoint_on.go.
func crashPoint(string) {}
