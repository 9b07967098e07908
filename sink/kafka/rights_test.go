package kafka

// Rights, passwords and quotas that change while everything runs, on a real
// broker with its own authorizer.

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"logforge/config"
	"logforge/sink"
	"logforge/sink/kafka/kafkatest"
)

// guarded is a broker that lets clients in by password and rights only, on a port
// of its own; the administrator needs neither.
func guarded(t *testing.T) (broker *kafkatest.Broker, addr string) {
	t.Helper()
	port, err := kafkatest.FreePorts()
	if err != nil {
		t.Fatal(err)
	}
	addr = fmt.Sprint("127.0.0.1:", port)
	return kafkatest.Own(t,
		"listeners=PLAINTEXT://127.0.0.1:@PORT@,CLIENTS://"+addr+",CONTROLLER://127.0.0.1:@CONTROLLER_PORT@",
		"advertised.listeners=PLAINTEXT://127.0.0.1:@PORT@,CLIENTS://"+addr,
		"listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,CLIENTS:SASL_PLAINTEXT",
		"inter.broker.listener.name=PLAINTEXT",
		"sasl.enabled.mechanisms=SCRAM-SHA-256",
		"listener.name.clients.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;",
		"authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
		"super.users=User:ANONYMOUS"), addr
}

// Ensure that rights which are taken away while everything runs, a password that
// is changed, and a quota cost nothing but time: 503, the reason by name, and once
// they are given back everything goes on by itself.
func TestCluster_RightsPasswordsAndQuotasThatChangeLoseNothing(t *testing.T) {
	broker, addr := guarded(t)
	client := broker.Client(t)
	defer client.Close()
	admin := kadm.NewClient(client)
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	setPassword := func(password string) {
		t.Helper()
		_, err := admin.AlterUserSCRAMs(ctx, nil, []kadm.UpsertSCRAM{{User: "forge", Mechanism: kadm.ScramSha256, Iterations: 4096, Password: password}})
		must(err)
	}
	setPassword("first")
	_, err := admin.CreateTopics(ctx, 2, 1, nil, "logs", "logs.dlq")
	must(err)
	const group = "the-group"
	rights := map[string]func() *kadm.ACLBuilder{
		"produce": func() *kadm.ACLBuilder {
			return kadm.NewACLs().Topics("logs").ResourcePatternType(kadm.ACLPatternLiteral).Operations(kadm.OpWrite).Allow("User:forge").AllowHosts("*")
		},
		"consume": func() *kadm.ACLBuilder {
			return kadm.NewACLs().Topics("logs").ResourcePatternType(kadm.ACLPatternLiteral).Operations(kadm.OpRead).Allow("User:forge").AllowHosts("*")
		},
		"group": func() *kadm.ACLBuilder {
			return kadm.NewACLs().Groups(group).ResourcePatternType(kadm.ACLPatternLiteral).Operations(kadm.OpRead).Allow("User:forge").AllowHosts("*")
		},
		"dead letters": func() *kadm.ACLBuilder {
			return kadm.NewACLs().Topics("logs.dlq").ResourcePatternType(kadm.ACLPatternLiteral).Operations(kadm.OpWrite).Allow("User:forge").AllowHosts("*")
		},
	}
	grant := func(what string) {
		t.Helper()
		_, err := admin.CreateACLs(ctx, rights[what]())
		must(err)
	}
	for what := range rights {
		grant(what)
	}
	cfg := testConfig(t, addr, "logs")
	cfg.Server.RequestTimeout, cfg.Server.WaitForRoom = 3*time.Second, 200*time.Millisecond
	file := filepath.Join(t.TempDir(), "password")
	write(t, file, "first")
	cfg.Kafka.SASL = config.SASL{Mechanism: "SCRAM-SHA-256", Username: "forge", Password: "first", PasswordFile: file}
	p, set := newTestProducer(t, cfg)
	site := &site{*cfg}
	site.cfg.Kafka.GroupID, site.cfg.Consumer.FlushInterval = group, 20*time.Millisecond
	site.cfg.Kafka.SessionTimeout, site.cfg.Kafka.RebalanceTimeout = 6*time.Second, 10*time.Second
	site.cfg.Storage.LogsDir = filepath.Join(t.TempDir(), "logs")
	r := site.start(t)
	o := newOracle()
	flows := func(what string) {
		t.Helper()
		until(t, what, func() bool {
			wait, done := context.WithTimeout(ctx, 3*time.Second)
			defer done()
			return o.write(wait, t, p, sink.Replicated, 10, 2, 100) == nil
		})
		until(t, what+", into the files", func() bool { return len(missingLines(o, countFiles(t, r.dir))) == 0 })
	}
	flows("records flow")
	for what, says := range map[string]string{"produce": "Write and Describe", "consume": "Read and Describe", "group": "kafka.groupID"} {
		_, err := admin.DeleteACLs(ctx, rights[what]())
		must(err)
		until(t, "the missing right is named: "+what, func() bool {
			wait, done := context.WithTimeout(ctx, time.Second)
			defer done()
			err := o.write(wait, t, p, sink.Replicated, 10, 2, 100)
			if err != nil && !errors.Is(err, sink.ErrUnavailable) && !errors.Is(err, sink.ErrRefused) {
				t.Fatalf("without the right to %s a batch is answered with %v", what, err)
			}
			for _, err := range []error{p.Ready(), r.consumer.Ready()} {
				if err != nil && strings.Contains(err.Error(), says) {
					return true
				}
			}
			return false
		})
		select {
		case <-r.done:
			t.Fatalf("without the right to %s the consumer has ended for good: %v", what, r.err)
		default:
		}
		grant(what)
		flows("the right is given back: " + what)
	}

	setPassword("second")
	must(os.WriteFile(file, []byte("second"), 0o600))
	broker.Kill(t) // every connection is made anew
	broker.Restart(t)
	flows("the password was changed, and is read from its file again")

	user := "forge"
	_, err = admin.AlterClientQuotas(ctx, []kadm.AlterClientQuotaEntry{{
		Entity: kadm.ClientQuotaEntity{{Type: "user", Name: &user}},
		Ops:    []kadm.AlterClientQuotaOp{{Key: "producer_byte_rate", Value: 20_000}, {Key: "consumer_byte_rate", Value: 20_000}},
	}})
	must(err)
	until(t, "the quota holds this process back", func() bool {
		wait, done := context.WithTimeout(ctx, 10*time.Second)
		defer done()
		if err := o.write(wait, t, p, sink.Replicated, 100, 1, 300); err != nil && !errors.Is(err, sink.ErrUnavailable) {
			t.Fatal(err)
		}
		return metricOf(t, set, "logforge_kafka_throttled_seconds_total") > 0
	})
	_, err = admin.AlterClientQuotas(ctx, []kadm.AlterClientQuotaEntry{{
		Entity: kadm.ClientQuotaEntity{{Type: "user", Name: &user}},
		Ops:    []kadm.AlterClientQuotaOp{{Key: "producer_byte_rate", Remove: true}, {Key: "consumer_byte_rate", Remove: true}},
	}})
	must(err)
	flows("without the quota records flow again")
	closeProducer(t, p)
	storedOnce(t, o, r)
}
