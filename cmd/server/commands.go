package main

// The commands beside serve.

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os/signal"
	"syscall"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"logforge/config"
	"logforge/sink"
	"logforge/sink/kafka"
)

// patience is how long a command waits for another process to answer.
const patience = 30 * time.Second

// topic creates the topics; doing it again changes nothing.
func topic(cfg *config.Config, log *slog.Logger, _ []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return kafka.EnsureTopics(ctx, cfg.Kafka, log)
}

// replay sends the dead letters in a directory to the topic again. What the
// topic has is removed from the directory; what failed can be replayed again.
func replay(cfg *config.Config, log *slog.Logger, args []string) (err error) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	producer, err := kafka.NewProducer(cfg, sink.Replicated, log, metrics.NewSet())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, producer.Close(ctx)) }()
	records, err := producer.Replay(ctx, args[0])
	log.Info("replayed", "records", records, "dir", args[0], "topic", cfg.Kafka.Topic)
	return err
}

// healthcheck asks the server of this configuration whether it lives. It tells
// nothing but its exit status and, if there is one, the error.
func healthcheck(cfg *config.Config, _ *slog.Logger, _ []string) error {
	host, port, err := net.SplitHostPort(cfg.Server.Addr)
	if err != nil {
		return err
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	addr := net.JoinHostPort(host, port)
	if cfg.Server.TLS.ClientCAFile != "" {
		// It would ask for a certificate that only clients have.
		conn, err := net.DialTimeout("tcp", addr, patience)
		if err != nil {
			return err
		}
		return conn.Close()
	}

	scheme := "http"
	if cfg.Server.TLS.CertFile != "" {
		scheme = "https"
	}
	client := &http.Client{Timeout: patience, Transport: &http.Transport{
		// To itself, by an address that no certificate names.
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12},
	}}
	resp, err := client.Get(scheme + "://" + addr + "/health")
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // the process ends here
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s/health answers %s", addr, resp.Status)
	}
	return nil
}
