package kafka

import (
	"os"
	"testing"

	"logforge/sink/kafka/kafkatest"
)

func TestMain(m *testing.M) { os.Exit(kafkatest.Main(m)) }
