package server

import (
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"logforge/config"
)

func TestReload_ReplacesKeysWhileRequestsGoOn(t *testing.T) {
	auth := func(keys ...config.Key) config.Auth {
		return config.Auth{Enabled: true, HeaderName: "X-API-Key", Keys: keys}
	}
	cfg := settings()
	cfg.Auth = auth(config.Key{Name: "alice", Value: "old"})
	cfg.Server.Dashboard = true
	f := start(t, func(c *config.Config) { *c = cfg })
	var refused, accepted atomic.Int64
	var posters sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		posters.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				// Both keys are sent in turn; one of them is always accepted.
				for _, key := range []string{"old", "new"} {
					if r := f.post(line1, "X-API-Key", key); r.status == 202 {
						accepted.Add(1)
					} else {
						refused.Add(1)
					}
				}
			}
		})
	}
	eventually(t, "load", func() bool { return accepted.Load() > 20 })
	if f.value(`logforge_key_requests_total{key="alice"`) == 0 {
		t.Error("requests are not counted by the name of their key")
	}
	cfg.Auth = auth(config.Key{Name: "bob", Value: "new"}, config.Key{Value: "unnamed"})
	if err := f.Reload(&cfg); err != nil {
		t.Fatal(err)
	}
	before := accepted.Load()
	eventually(t, "load", func() bool { return accepted.Load() > before+20 })
	close(stop)
	posters.Wait()
	for key, status := range map[string]int{"old": 401, "new": 202, "unnamed": 202, "": 401} {
		if r := f.post(line1, "X-API-Key", key); r.status != status {
			t.Errorf("%q: %d", key, r.status)
		}
	}
	text := f.do("GET", "/metrics", nil).body
	if strings.Contains(text, `key="alice"`) || !strings.Contains(text, `logforge_key_requests_total{key="bob"}`) || strings.Contains(text, "unnamed") {
		t.Error("the metrics do not follow the names of the keys")
	}

	cfg.Auth.Metrics = true
	if err := f.Reload(&cfg); err != nil {
		t.Fatal(err)
	}
	if r := f.do("GET", "/metrics", nil); r.status != 401 {
		t.Errorf("auth.metrics is not in effect: %d", r.status)
	}
	cfg.Auth.Metrics = false

	// Another header, and none at all: the page has to know, too.
	cfg.Auth.HeaderName = "X-Other"
	if err := f.Reload(&cfg); err != nil {
		t.Fatal(err)
	}
	if r := f.post(line1, "X-Other", "new"); r.status != 202 || !strings.Contains(f.do("GET", "/", nil).body, `data-key-header="X-Other"`) {
		t.Errorf("with another header: %d", r.status)
	}
	cfg.Auth = config.Auth{HeaderName: "X-API-Key"}
	if err := f.Reload(&cfg); err != nil {
		t.Fatal(err)
	}
	if r := f.post(line1); r.status != 202 || !strings.Contains(f.do("GET", "/", nil).body, `data-key-header=""`) {
		t.Errorf("with the keys off: %d", r.status)
	}
}

func TestReload_ReplacesCertificatesOfNewConnectionsOnly(t *testing.T) {
	first, second := newAuthority(t, t.TempDir(), "first"), newAuthority(t, t.TempDir(), "second")
	cert, key := first.issue("server")
	cfg := settings()
	cfg.Server.TLS = config.TLS{CertFile: cert, KeyFile: key}
	f := start(t, func(c *config.Config) { *c = cfg })
	client := func(ca *authority) *http.Client {
		return &http.Client{Transport: &http.Transport{TLSClientConfig: ca.client()}}
	}
	get := func(c *http.Client) error {
		resp, err := c.Get("https://" + f.addr + "/health")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		_, err = io.Copy(io.Discard, resp.Body) // so that the connection is kept
		return err
	}
	old := client(first)
	if err := get(old); err != nil {
		t.Fatal(err)
	}

	// The files are replaced under the same names.
	otherCert, otherKey := second.issue("server")
	for from, to := range map[string]string{otherCert: cert, otherKey: key} {
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Reload(&cfg); err != nil {
		t.Fatal(err)
	}
	if err := get(old); err != nil {
		t.Errorf("a connection that was open: %v", err)
	}
	if err := get(client(second)); err != nil {
		t.Errorf("a new connection: %v", err)
	}
	if err := get(client(first)); err == nil {
		t.Error("a new connection gets the old certificate")
	}

	// What cannot be read changes nothing.
	if err := os.WriteFile(key, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.Reload(&cfg); err == nil || !strings.Contains(err.Error(), key) {
		t.Errorf("got %v", err)
	}
	if err := get(client(second)); err != nil {
		t.Error(err)
	}
	cfg.Server.TLS = config.TLS{}
	if err := f.Reload(&cfg); err == nil || !strings.Contains(err.Error(), "takes a restart") {
		t.Errorf("turning TLS off: %v", err)
	}
}
