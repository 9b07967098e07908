package kafka

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"

	"logforge/config"
	"logforge/sink"
)

func TestClient_IsLetInByPasswordAndCertificate(t *testing.T) {
	inFile := false // the password is in a file, which was changed after the start
	f := func(mechanism string, encrypted bool) {
		t.Helper()
		opts := []kfake.Opt{kfake.EnableSASL(), kfake.Superuser(mechanism, "forge", "secret")}
		caFile, serverTLS := certificate(t)
		if encrypted {
			opts = append(opts, kfake.TLS(serverTLS))
		}
		_, cfg := fakeCluster(t, opts...)
		cfg.Kafka.SASL = config.SASL{Mechanism: mechanism, Username: "forge", Password: "secret"}
		if inFile {
			cfg.Kafka.SASL.Password, cfg.Kafka.SASL.PasswordFile = "old", filepath.Join(t.TempDir(), "password")
			if err := os.WriteFile(cfg.Kafka.SASL.PasswordFile, []byte("secret\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		cfg.Kafka.TLS = config.KafkaTLS{Enabled: encrypted, CAFile: caFile}
		p, _ := newTestProducer(t, cfg)
		o := newOracle()
		if err := o.write(t.Context(), t, p, sink.Replicated, 3, 1, 100); err != nil {
			t.Errorf("%s, TLS %t: %v", mechanism, encrypted, err)
		}
		closeProducer(t, p)
	}
	f("PLAIN", false)
	f("PLAIN", true)
	inFile = true
	f("PLAIN", false)
	f("SCRAM-SHA-256", true)
	f("SCRAM-SHA-512", false)
	inFile = false
	f("SCRAM-SHA-512", false)
}

func TestClient_AClusterThatDoesNotLetUsInIsNotReady(t *testing.T) {
	f := func(change func(*config.Kafka)) {
		t.Helper()
		caFile, serverTLS := certificate(t)
		_, cfg := fakeCluster(t, kfake.EnableSASL(), kfake.Superuser("PLAIN", "forge", "secret"), kfake.TLS(serverTLS))
		cfg.Kafka.SASL = config.SASL{Mechanism: "PLAIN", Username: "forge", Password: "secret"}
		cfg.Kafka.TLS = config.KafkaTLS{Enabled: true, CAFile: caFile}
		change(&cfg.Kafka)
		c, err := newClient(cfg.Kafka, topicNeeds{right: kadm.OpWrite}, quietLog(), metrics.NewSet())
		if err != nil {
			t.Fatal(err)
		}
		defer c.close()
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		if err := c.await(ctx); err == nil {
			t.Error("let in")
		}
	}
	f(func(k *config.Kafka) { k.SASL.Password = "wrong" })
	f(func(k *config.Kafka) { k.SASL.Mechanism = "" })
	f(func(k *config.Kafka) { k.TLS.CAFile = "" }) // an authority the system does not know
	f(func(k *config.Kafka) { k.TLS.Enabled = false })
}

func TestProducer_SettingsThatCannotWorkAreNamed(t *testing.T) {
	f := func(key string, change func(*config.Kafka)) {
		t.Helper()
		cfg := testConfig(t, "127.0.0.1:1", "logs")
		change(&cfg.Kafka)
		p, err := NewProducer(cfg, sink.Replicated, quietLog(), metrics.NewSet())
		if err == nil {
			closeProducer(t, p)
		}
		if err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%s: %v", key, err)
		}
	}
	missing := filepath.Join(t.TempDir(), "missing.pem")
	empty := filepath.Join(t.TempDir(), "empty.pem")
	write(t, empty, "nothing")
	f("kafka.compression", func(k *config.Kafka) { k.Compression = "rar" })
	f("kafka.recordBytes", func(k *config.Kafka) { k.RecordBytes = 0 })
	f("kafka.recordBytes", func(k *config.Kafka) { k.RecordBytes = k.MaxMessageBytes })
	f("kafka.sasl.mechanism", func(k *config.Kafka) { k.SASL.Mechanism = "GSSAPI" })
	f("kafka.tls.caFile", func(k *config.Kafka) { k.TLS = config.KafkaTLS{Enabled: true, CAFile: missing} })
	f("kafka.tls.caFile", func(k *config.Kafka) { k.TLS = config.KafkaTLS{Enabled: true, CAFile: empty} })
	f("kafka.tls.certFile", func(k *config.Kafka) { k.TLS = config.KafkaTLS{Enabled: true, CertFile: empty, KeyFile: empty} })
	f("kafka.deadLetterDir", func(k *config.Kafka) { k.DeadLetterDir = filepath.Join(empty, "dir") })
}

// certificate makes an authority and what a server it has signed needs.
func certificate(t *testing.T) (caFile string, server *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	caFile = filepath.Join(t.TempDir(), "ca.pem")
	write(t, caFile, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	return caFile, &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}
