package kafka

import (
	"os"
	"testing"

	"logforge/sink/kafka/kafkatest"
)

func TestMain(m *testing.M) {
	if code, is := child(); is {
		os.Exit(code)
	}
	os.Exit(kafkatest.Main(m))
}
