package main

// -check-config and the start accept the same configurations.

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"pgregory.net/rapid"

	"logforge/config"
	"logforge/config/logging"
)

// loaded returns the program of a configuration file with this text.
func loaded(file, text string) (*program, error) {
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, err
	}
	fs := flag.NewFlagSet("server", flag.ContinueOnError)
	settings := config.Bind(fs)
	if err := fs.Parse([]string{"-config", file}); err != nil {
		return nil, err
	}
	cfg, _, err := settings.Load()
	if err != nil {
		return nil, err
	}
	log := &logger{Logger: slog.New(slog.DiscardHandler), level: new(slog.LevelVar), writer: logging.NewWriter(io.Discard, func(int) {}), flush: func() {}}
	return &program{settings: settings, cfg: cfg, log: log, set: metrics.NewSet()}, nil
}

// certificate writes a certificate and its key into dir.
func certificate(t testing.TB, dir, name string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), DNSNames: []string{"localhost", name}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	write := func(file, kind string, bytes []byte) string {
		path := filepath.Join(dir, file)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: bytes}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return write(name+".crt", "CERTIFICATE", der), write(name+".key", "PRIVATE KEY", pkcs8)
}

// Ensure that over many configurations the check accepts and refuses what a real
// start does, and that it leaves nothing behind.
func TestCheck_AgreesWithTheStart(t *testing.T) {
	dir := t.TempDir()
	cert, key := certificate(t, dir, "a")
	_, otherKey := certificate(t, dir, "b")
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("no certificate\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	dangling := filepath.Join(dir, "dangling")
	if err := os.Symlink(filepath.Join(dir, "nowhere", "x"), dangling); err != nil {
		t.Fatal(err)
	}
	yaml := filepath.Join(dir, "c.yaml")
	good, bad := 0, 0

	rapid.Check(t, func(t *rapid.T) {
		run, err := os.MkdirTemp(dir, "run-*")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(run)
		directory := func(name string) *rapid.Generator[string] {
			fine := filepath.Join(run, name)
			return often(fine, []string{
				filepath.Join(fine, "deep", "er"), file, filepath.Join(file, "below"), dangling, filepath.Join(dangling, "below"),
				"/proc/logforge/" + name, "/dev/null/" + name, filepath.Join(run, strings.Repeat("n", 300)), filepath.Join(run, "new", strings.Repeat("n", 300)), "",
			})
		}
		pem := often("", []string{cert, key, otherKey, file, dir, "/nowhere"})
		secret := often("k", []string{"", "********"})
		size := rapid.SampledFrom([]string{"0", "1", "1MiB", "32MiB", "64MiB", "128MiB", "1GiB"})
		settings := []string{
			fmt.Sprintf("pipeline: %d", rapid.IntRange(1, 2).Draw(t, "pipeline")),
			fmt.Sprintf("storage: {logsDir: %q, analyticsDir: %q}", directory("logs").Draw(t, "logs"), directory("analytics").Draw(t, "analytics")),
		}
		server := []string{"shutdownTimeout: 3s", "addr: " + fmt.Sprintf("%q", often("127.0.0.1:0", []string{"192.0.2.1:0", "nowhere.invalid:0", "x"}).Draw(t, "addr"))}
		if rapid.Bool().Draw(t, "sizes") {
			server = append(server, "maxBodyBytes: "+size.Draw(t, "body"), "maxInFlightBytes: "+often("1GiB", []string{"32MiB", "64MiB", "128MiB"}).Draw(t, "inFlight"))
		}
		if rapid.Bool().Draw(t, "tls") {
			server = append(server, fmt.Sprintf("tls: {certFile: %q, keyFile: %q, clientCAFile: %q}", often(cert, []string{"", file, "/nowhere"}).Draw(t, "cert"), often(key, []string{"", otherKey, file}).Draw(t, "key"), pem.Draw(t, "ca")))
		}
		settings = append(settings, "server: {"+strings.Join(server, ", ")+"}")
		if rapid.Bool().Draw(t, "auth") {
			settings = append(settings, fmt.Sprintf("auth: {keys: [%q]}", secret.Draw(t, "secret")))
		}
		kafka := []string{"brokers: ['127.0.0.1:1']", "role: " + rapid.SampledFrom([]string{"both", "ingest", "consume"}).Draw(t, "role")}
		if rapid.Bool().Draw(t, "kafka") {
			kafka = append(kafka, "compression: "+rapid.SampledFrom([]string{"none", "lz4", "snappy", "zstd"}).Draw(t, "compression"),
				"maxMessageBytes: "+often("8MiB", []string{"1MiB", "32MiB", "1GiB"}).Draw(t, "message"), "recordBytes: "+often("256KiB", []string{"0", "1", "1MiB", "4MiB", "8MiB"}).Draw(t, "record"), fmt.Sprintf("deadLetterDir: %q", directory("dead").Draw(t, "dead")),
				fmt.Sprintf("tls: {enabled: %v, caFile: %q}", rapid.Bool().Draw(t, "kafkaTLS"), pem.Draw(t, "kafkaCA")),
				fmt.Sprintf("sasl: {mechanism: %q, username: u, password: %q}", often("PLAIN", []string{"", "SCRAM-SHA-512", "X"}).Draw(t, "sasl"), secret.Draw(t, "password")))
		}
		settings = append(settings, "kafka: {"+strings.Join(kafka, ", ")+"}")
		if rapid.Bool().Draw(t, "archive") {
			settings = append(settings, fmt.Sprintf("archive: {s3: {bucket: logs, endpoint: 'https://127.0.0.1:1', accessKey: a, secretKeyFile: %q, caFile: %q}}",
				often(file, []string{"", "/nowhere", dir}).Draw(t, "secretKeyFile"), pem.Draw(t, "archiveCA")))
		}
		if rapid.Bool().Draw(t, "peers") {
			settings = append(settings, fmt.Sprintf("analytics: {peers: ['http://127.0.0.1:1'], tls: {caFile: %q}}", pem.Draw(t, "peersCA")))
		}
		text := strings.Join(settings, "\n")

		p, err := loaded(yaml, text)
		if err != nil {
			return // refused by the loading, which both begin with
		}
		before := tree(t, run)
		checkErr := check(p)
		if after := tree(t, run); after != before {
			t.Fatalf("the check leaves something behind: %s", after)
		}
		s := &service{program: p, stages: newStages()}
		startErr := s.start()
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // there is nothing to deliver
		if err := s.stages.stop(ctx); err != nil && startErr == nil && !errors.Is(err, context.Canceled) {
			t.Errorf("stop: %v", err)
		}
		if (checkErr == nil) != (startErr == nil) {
			t.Fatalf("%s\ncheck: %v\nstart: %v", text, checkErr, startErr)
		}
		if startErr == nil {
			good++
		} else {
			bad++
		}
	})
	if !t.Failed() && (good < 5 || bad < 5) {
		t.Errorf("%d good and %d bad configurations are too few to say anything", good, bad)
	}
}

// often generates usual nine times out of ten.
func often(usual string, others []string) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		if rapid.IntRange(0, 9).Draw(t, "unusual") < 9 {
			return usual
		}
		return rapid.SampledFrom(others).Draw(t, "other")
	})
}

func tree(t *rapid.T, dir string) string {
	var names []string
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		names = append(names, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(names, " ")
}
