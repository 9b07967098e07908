package peers

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"logforge/codec"
	"logforge/config"
	"logforge/config/metric"
)

// Source is what a View asks of its own instance. See server.Summaries.
type Source interface {
	AppendHour(ctx context.Context, dst []byte, h codec.Hour, top int) ([]byte, error)
	AppendRange(ctx context.Context, dst []byte, from, to codec.Hour, top, hourTop int) ([]byte, error)
	Span(ctx context.Context) (codec.Span, error)
}

const (
	// Header is the header in which a server says which process it is.
	Header = "Logforge-Instance"
	// Local is the parameter with which a server is asked for its own summaries
	// alone.
	Local = "local"

	// leastTop is how many of each map an instance is asked for at least.
	leastTop = 10_000
	// maxBytes bounds what all instances together send for one answer.
	maxBytes = 64 << 20
	// atOnce is how many peers are asked at the same time.
	atOnce = 16
)

// View is what several instances have, as one of server.Summaries. It is safe for
// concurrent use.
type View struct {
	local    Source
	peers    []string // their addresses, without a slash at the end
	instance string
	key      atomic.Pointer[peerKey] // replaced by SetKey
	timeout  time.Duration
	client   *http.Client
	log      *slog.Logger
	errors   *metrics.Counter

	one chan struct{} // holds one while an answer is put together
}

// New returns a View of local and cfg.Peers. instance is what the server it is
// part of says of itself in Header; keyHeader is the header that takes the key. An
// error names the setting at fault.
func New(cfg config.Analytics, keyHeader, instance string, local Source, log *slog.Logger, set *metrics.Set) (*View, error) {
	transport := &http.Transport{
		MaxIdleConnsPerHost: 2,
		IdleConnTimeout:     time.Minute,
		TLSHandshakeTimeout: cfg.PeerTimeout,
		ForceAttemptHTTP2:   false,
	}
	var err error
	if transport.TLSClientConfig, err = clientTLS(cfg.TLS); err != nil {
		return nil, err
	}
	v := &View{
		local:    local,
		instance: instance,
		timeout:  cfg.PeerTimeout,
		log:      log,
		errors:   metric.Counter(set, "logforge_analytics_peer_errors_total", "Answers of other instances that were left out of GET /analytics."),
		one:      make(chan struct{}, 1),
		client: &http.Client{
			Transport: transport,
			// A peer answers by itself.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	v.SetKey(keyHeader, cfg.PeerKey)
	for _, peer := range cfg.Peers {
		v.peers = append(v.peers, strings.TrimRight(peer, "/"))
	}
	return v, nil
}

// peerKey is what the peers are asked with, and the header that it is sent in.
type peerKey struct{ header, value string }

// SetKey sets the API key that requests from now on are sent with, and its
// header; an empty key sends none.
func (v *View) SetKey(header, key string) {
	if strings.EqualFold(header, "Authorization") && key != "" {
		key = "Bearer " + key
	}
	v.key.Store(&peerKey{header, key})
}

func clientTLS(cfg config.PeersTLS) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if cfg.CAFile != "" {
		text, err := os.ReadFile(cfg.CAFile)
		if err != nil {
			return nil, fmt.Errorf("analytics.tls.caFile: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("analytics.tls.caFile: %s holds no PEM certificate", cfg.CAFile)
		}
	}
	if cfg.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(cfg.CertFile, cfg.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("analytics.tls.certFile and keyFile: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// Close ends the connections to the peers.
func (v *View) Close() { v.client.CloseIdleConnections() }

// AppendHour appends the sum of what all instances have of h, and peers, what
// became of each. The error is fs.ErrNotExist if all have answered and none has a
// summary of h, and fs.ErrClosed if none has and some have not answered.
func (v *View) AppendHour(ctx context.Context, dst []byte, h codec.Hour, top int) ([]byte, error) {
	if err := v.enter(ctx); err != nil {
		return dst, err
	}
	defer v.leave()
	query := fmt.Sprintf("hour=%s%s", h, topQuery("top", ask(top)))
	parts, err := v.ask(ctx, query, func() ([]byte, error) { return v.local.AppendHour(ctx, nil, h, ask(top)) })
	if err != nil {
		return dst, err
	}
	if parts.answers == 0 {
		if parts.silent() > 0 {
			return dst, fmt.Errorf("no instance that answered has a summary of %s, and %d did not answer: %w", h, parts.silent(), fs.ErrClosed)
		}
		return dst, fmt.Errorf("summary of %s: %w", h, fs.ErrNotExist)
	}
	return parts.appendHour(dst, h, top), nil
}

// AppendRange appends the sum of what all instances have of the hours from to to,
// both included, and peers, what became of each.
func (v *View) AppendRange(ctx context.Context, dst []byte, from, to codec.Hour, top, hourTop int) ([]byte, error) {
	if err := v.enter(ctx); err != nil {
		return dst, err
	}
	defer v.leave()
	// An hour of a range is asked for its own largest only: countsLowBy says so.
	query := fmt.Sprintf("from=%s&to=%s%s%s", from, to, topQuery("top", ask(top)), topQuery("hourTop", hourTop))
	parts, err := v.ask(ctx, query, func() ([]byte, error) {
		return v.local.AppendRange(ctx, nil, from, to, ask(top), hourTop)
	})
	if err != nil {
		return dst, err
	}
	return parts.appendRange(dst, from, to, top, hourTop), nil
}

// Span returns the days that any instance has summaries of.
func (v *View) Span(ctx context.Context) (codec.Span, error) {
	all, err := v.local.Span(ctx)
	if err != nil {
		return all, err
	}
	var mu sync.Mutex
	v.each(ctx, func(ctx context.Context, peer string) error {
		span, instance, err := v.fetchSpan(ctx, peer)
		if err != nil || instance == v.instance {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		all = all.Join(span)
		return nil
	})
	return all, nil
}

// enter waits until no other answer is being put together, or ctx ends.
func (v *View) enter(ctx context.Context) error {
	select {
	case v.one <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (v *View) leave() { <-v.one }

// each calls f for every peer, some at the same time, and logs and counts what
// fails. It returns the errors by peer.
func (v *View) each(ctx context.Context, f func(ctx context.Context, peer string) error) map[string]error {
	ctx, cancel := context.WithTimeoutCause(ctx, v.timeout, fmt.Errorf("no answer within analytics.peerTimeout (%v)", v.timeout))
	defer cancel()
	failed := map[string]error{}
	var mu sync.Mutex
	var asking sync.WaitGroup
	places := make(chan struct{}, atOnce)
	for _, peer := range v.peers {
		places <- struct{}{}
		asking.Go(func() {
			defer func() { <-places }()
			err := f(ctx, peer)
			if err == nil {
				return
			}
			if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
				err = context.Cause(ctx)
			}
			v.failed(peer, err)
			mu.Lock()
			defer mu.Unlock()
			failed[peer] = err
		})
	}
	asking.Wait()
	return failed
}

// failed counts and logs that a peer is left out.
func (v *View) failed(peer string, err error) {
	v.errors.Inc()
	v.log.Warn("an instance of analytics.peers is left out of an answer", "peer", peer, "err", err)
}

// ask returns how many of each map an instance is asked for: 0 means all.
func ask(top int) int {
	if top == 0 {
		return 0
	}
	return max(top, leastTop)
}

// topQuery returns a parameter for how many of each map are asked for.
func topQuery(name string, top int) string {
	if top == 0 {
		top = everything
	}
	return fmt.Sprintf("&%s=%d", name, top)
}

// everything is more keys than a summary has.
const everything = 1_000_000_000
