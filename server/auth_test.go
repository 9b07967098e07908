package server

import (
	"encoding/base64"
	"strings"
	"testing"

	"logforge/config"
)

func basic(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

func TestServer_TakesAKeyInAnyHeaderThatClientsPutItIn(t *testing.T) {
	keys := config.Keys{{Name: "shop", Value: "k1"}, {Value: "k:2"}, {Name: "shop", Value: "k1"}}
	for _, name := range []string{"X-API-Key", "X-Token", "authorization"} {
		f := start(t, func(c *config.Config) { c.Auth = config.Auth{Enabled: true, HeaderName: name, Keys: keys} })
		for value, status := range map[string]int{
			"Bearer k1": 202, "bearer k1": 202, "Splunk k1": 202, "ApiKey k1": 202, "Token k1": 202, "Bearer k:2": 202,
			"Basic " + basic("user:k1"): 202, "basic " + basic("k1:"): 202, "Basic " + basic("k1"): 202, "Basic " + basic("user:k:2"): 202,
			"ApiKey " + basic("id:k1"): 202,
			"Bearer k2":                401, "Bearer ": 401, "Bearer": 401, "Basic k1": 401, "Basic " + basic("k1:x"): 401, "Basic !": 401,
			"ApiKey " + basic("k1:id"): 401, "Bearer " + basic("id:k1"): 401, " ": 401, ":": 401, "Bearer " + strings.Repeat("k1", 3000): 401,
		} {
			r := f.post(line1, "Authorization", value)
			if r.status != status {
				t.Errorf("%s: Authorization: %.60s: %d", name, value, r.status)
			}
			if challenge := r.header.Get("WWW-Authenticate"); (status == 401) != (challenge != "") {
				t.Errorf("%s: %d with WWW-Authenticate: %q", name, status, challenge)
			}
		}
		for value, status := range map[string]int{"k1": 202, "k:2": 202, "k": 401, "k1 ": 202, "K1": 401} {
			if r := f.post(line1, name, value); r.status != status {
				t.Errorf("%s: %q: %d", name, value, r.status)
			}
		}
	}
}

func TestServer_CountsRequestsByTheNameOfTheirKey(t *testing.T) {
	f := start(t, func(c *config.Config) {
		c.Auth = config.Auth{Enabled: true, HeaderName: "X-API-Key", Keys: config.Keys{{Name: "shop", Value: "k1"}, {Value: "k2"}, {Value: "k3"}}}
	})
	for _, key := range []string{"k1", "k2", "k3", "k4", "k1"} {
		f.post("no records", "X-API-Key", key, "Content-Type", "application/json")
	}
	if got := f.value("logforge_key_requests_total"); got != 2 {
		t.Errorf("%v requests with named keys, want 2", got)
	}
	if log := f.log.String(); !strings.Contains(log, "key=shop") || strings.Contains(log, "k1") {
		t.Errorf("the log does not name the key, or shows it: %s", log)
	}
}

func TestServer_TheMaskAndTheEmptyKeyOpenNothing(t *testing.T) {
	f := start(t, func(c *config.Config) {
		c.Auth = config.Auth{Enabled: true, HeaderName: "X-API-Key", Keys: config.Keys{{Value: "********"}, {Name: "a", Value: "********"}, {Value: ""}}}
	})
	for _, header := range [][]string{nil, {"X-API-Key", ""}, {"X-API-Key", " "}, {"X-API-Key", "********"}, {"Authorization", "Bearer ********"}, {"Authorization", "Basic " + basic(":")}} {
		if r := f.post(line1, header...); r.status != 401 {
			t.Errorf("%v: %d", header, r.status)
		}
	}
}

func TestServer_MetricsAreOpenOrClosedInBothPlacesByOneSetting(t *testing.T) {
	for _, guarded := range []bool{false, true} {
		f := start(t, func(c *config.Config) {
			withKeys(c)
			c.Auth.Metrics, c.Server.Dashboard = guarded, true
		})
		want := 200
		if guarded {
			want = 401
		}
		for _, path := range []string{"/metrics", "/dashboard/metrics"} {
			if r := f.do("GET", path, nil); r.status != want {
				t.Errorf("auth.metrics %v: %s: %d", guarded, path, r.status)
			}
			if r := f.do("GET", path, nil, "X-API-Key", "k"); r.status != 200 {
				t.Errorf("auth.metrics %v: %s with the key: %d", guarded, path, r.status)
			}
		}
	}
}

func TestServer_PagesOfOtherSitesNeitherSendNorRead(t *testing.T) {
	f := start(t, func(c *config.Config) {
		c.Server.AllowedOrigins, c.Server.Dashboard = []string{"https://logs.example.com", "http://localhost:3000"}, true
	})
	own := "http://" + f.addr
	for _, c := range []struct {
		header []string
		ok     bool
	}{
		{nil, true},
		{[]string{"Sec-Fetch-Site", "cross-site"}, false},
		{[]string{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"}, false},
		{[]string{"Sec-Fetch-Site", "same-site", "Origin", "https://evil.example"}, false},
		{[]string{"Origin", "https://evil.example"}, false},
		{[]string{"Origin", "null"}, false},
		{[]string{"Origin", "x"}, false},
		{[]string{"Origin", own + ".evil.example"}, false},
		{[]string{"Origin", own}, true},
		{[]string{"Origin", own, "Sec-Fetch-Site", "same-origin"}, true},
		{[]string{"Origin", "https://behind.a.proxy", "Sec-Fetch-Site", "same-origin"}, true},
		{[]string{"Sec-Fetch-Site", "none"}, true},
		{[]string{"Origin", "https://logs.example.com", "Sec-Fetch-Site", "cross-site"}, true},
		{[]string{"Origin", "http://localhost:3000"}, true},
		{[]string{"Origin", "http://localhost:3001"}, false},
		{[]string{"Origin", "http://logs.example.com"}, false},
	} {
		answers := []reply{f.post(line1, c.header...), f.do("GET", "/analytics?hour=2026-02-09T15", nil, c.header...), f.do("GET", "/dashboard/config", nil, c.header...)}
		for i, r := range answers {
			if refused := r.status == 403; refused == c.ok || refused && r.problem(t).Reason != "origin" {
				t.Errorf("%v: answer %d is %d", c.header, i, r.status)
			}
			if may := r.header.Get("Access-Control-Allow-Origin"); may != "" && may != "https://logs.example.com" && may != "http://localhost:3000" {
				t.Errorf("%v: pages of %s may read", c.header, may)
			}
		}
	}
	if r := f.post(line1, "Origin", "http://localhost:3000"); r.header.Get("Access-Control-Allow-Origin") != "http://localhost:3000" {
		t.Errorf("a page of an allowed origin cannot read its answer: %v", r.header)
	}
	for _, open := range []string{"/", "/health", "/metrics"} {
		if r := f.do("GET", open, nil, "Sec-Fetch-Site", "cross-site"); r.status != 200 {
			t.Errorf("%s: %d", open, r.status)
		}
	}
}
