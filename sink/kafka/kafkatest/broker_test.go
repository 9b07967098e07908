package kafkatest

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
)

// Ensure that make kafka-up says loudly that a broker on its port is somebody
// else's, and fails, unless it is told to use it.
func TestBroker_OneOfSomebodyElseIsRefusedUnlessItIsWanted(t *testing.T) {
	foreign, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	defer foreign.Close()
	_, port, _ := strings.Cut(foreign.ListenAddrs()[0], ":")
	up := func(more ...string) (string, error) {
		cmd := exec.Command(script, "up")
		cmd.Env = append(append(os.Environ(), "KAFKA_PORT="+port, "KAFKA_DIR="+t.TempDir()), more...)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	out, err := up()
	for _, say := range []string{"SOMEBODY ELSE", port, "KAFKA_PORT=", "Nothing was started"} {
		if err == nil || !strings.Contains(out, say) {
			t.Errorf("%v, and %q is not in:\n%s", err, say, out)
		}
	}
	if out, err := up("KAFKA_FOREIGN=use"); err != nil || !strings.Contains(out, "not ours") {
		t.Errorf("told to use it: %v\n%s", err, out)
	}
	if ours(foreign.ListenAddrs()[0]) {
		t.Error("taken for the broker of make kafka-up")
	}
}
