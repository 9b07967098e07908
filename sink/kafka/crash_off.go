//go:build !crashpoints

package kafka

import "github.com/twmb/franz-go/pkg/kgo"

// crashPoint is where a test build can end the process; see crash_on.go.
func crashPoint(string) {}

// crashOptions are a test build's additions to the client.
func crashOptions() []kgo.Opt { return nil }
