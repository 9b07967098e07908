package main

// The commands beside serve.

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"logforge/config"
	"logforge/server"
	"logforge/sink"
	"logforge/sink/kafka"
)

// patience is how long a command waits for another process to answer.
const patience = 30 * time.Second

// untilSignal returns a context that ends with the first signal to stop. The
// second one ends the process at that moment.
func untilSignal() (context.Context, func()) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

// printVersion prints which build this is.
func printVersion(p *program) error {
	_, err := fmt.Fprintln(p.stdout, "logforge", build())
	return err
}

// printOpenAPI prints the description of the routes.
func printOpenAPI(p *program) error {
	_, err := p.stdout.Write(server.OpenAPI)
	return err
}

// printConfig checks the configuration and prints the values in effect. With an
// argument it prints the sample or the schema instead.
func printConfig(p *program) error {
	if len(p.args) > 0 {
		documents := map[string]func() []byte{"sample": config.Sample, "schema": config.Schema}
		document, ok := documents[p.args[0]]
		if !ok {
			complain(p.stderr, fmt.Errorf("config takes sample or schema, not %q%s", p.args[0], didYouMean("", p.args[0], []string{"sample", "schema"})))
			return errWrong
		}
		_, err := p.stdout.Write(document())
		return err
	}
	cfg, warnings, err := p.settings.Load()
	for _, w := range warnings {
		complain(p.stderr, errors.New("warning: "+w))
	}
	if err != nil {
		complain(p.stderr, err)
		return errWrong
	}
	p.cfg = cfg
	text, err := cfg.YAML(p.settings.Origin)
	if err != nil {
		return err
	}
	if _, err := p.stdout.Write(text); err != nil {
		return err
	}
	if err := check(p); err != nil {
		complain(p.stderr, err)
		return errWrong
	}
	return nil
}

// topic creates the topics; doing it again changes nothing.
func topic(p *program) error {
	ctx, stop := untilSignal()
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return kafka.EnsureTopics(ctx, p.cfg.Kafka, p.log.Logger)
}

// replay sends the dead letters in a directory to the topic again. What the
// topic has is removed from the directory; what failed can be replayed again.
func replay(p *program) (err error) {
	ctx, stop := untilSignal()
	defer stop()
	producer, err := kafka.NewProducer(p.cfg, sink.Replicated, p.log.Logger, p.set)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, producer.Close(ctx)) }()
	records, err := producer.Replay(ctx, p.args[0])
	p.log.Info("replayed", "records", records, "dir", p.args[0], "topic", p.cfg.Kafka.Topic)
	return err
}

// replayCommand returns the command that sends dead letters to the cluster and
// topic of this process, from any directory; the name of theirs follows.
func (p *program) replayCommand() string {
	exe, err := os.Executable()
	if err != nil {
		exe = "server"
	}
	flags := p.settings.Flags(p.cfg, "pipeline", "version", "kafka.brokers", "kafka.topic")
	return strings.TrimSpace(config.ShellWord(exe) + " replay " + flags)
}

// healthcheck asks the server of this configuration whether it is alive. It tells
// nothing but its exit status and, if there is one, the error.
func healthcheck(p *program) error {
	base, client, err := ownServer(p.cfg)
	if err != nil {
		return err
	}
	if p.cfg.Server.TLS.ClientCAFile != "" {
		// It would ask for a certificate that only clients have.
		_, addr, _ := strings.Cut(base, "://")
		conn, err := net.DialTimeout("tcp", addr, patience)
		if err != nil {
			return err
		}
		return conn.Close()
	}
	resp, err := client.Get(base + "/health")
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // the process ends here
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s/health answers %s", base, resp.Status)
	}
	return nil
}

// ownServer returns the base URL of the server with this configuration on this
// machine, and a client for it.
func ownServer(cfg *config.Config) (base string, client *http.Client, err error) {
	host, port, err := net.SplitHostPort(cfg.Server.Addr)
	if err != nil {
		return "", nil, err
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	scheme := "http"
	if cfg.Server.TLS.CertFile != "" {
		scheme = "https"
	}
	client = &http.Client{Timeout: patience, Transport: &http.Transport{
		// To itself, by an address that no certificate names.
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12},
	}}
	return scheme + "://" + net.JoinHostPort(host, port), client, nil
}
