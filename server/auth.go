package server

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"strings"

	"github.com/VictoriaMetrics/metrics"
	"github.com/valyala/fasthttp"

	"logforge/config"
)

// keys are the accepted API keys, as hashes: all of one length, so that the
// comparison tells neither a key's length nor how much of it was right.
type keys struct {
	enabled   bool
	header    string
	bearer    bool // header is Authorization: a key may follow the word Bearer
	hashes    [][sha256.Size]byte
	used      []*metrics.Counter // requests with each of them; nil for one without a name
	names     []string           // of those that have one
	challenge string             // WWW-Authenticate of a 401 (RFC 9110, section 11.6.1)
}

var scheme = []byte("Bearer ")

// keyMetric is the name of the counter of requests with the key of this name.
func keyMetric(name string) string {
	return `logforge_key_requests_total{key="` + name + `"}`
}

func newKeys(cfg config.Auth, set *metrics.Set) *keys {
	k := &keys{
		enabled:   cfg.Enabled,
		header:    cfg.HeaderName,
		bearer:    strings.EqualFold(cfg.HeaderName, fasthttp.HeaderAuthorization),
		challenge: `ApiKey header="` + cfg.HeaderName + `"`,
	}
	if k.bearer {
		k.challenge = "Bearer"
	}
	for _, key := range cfg.Keys {
		k.hashes = append(k.hashes, sha256.Sum256([]byte(key.Value)))
		var used *metrics.Counter
		if key.Name != "" {
			k.names = append(k.names, key.Name)
			used = set.GetOrCreateCounter(keyMetric(key.Name))
		}
		k.used = append(k.used, used)
	}
	return k
}

// check returns errKey unless the request carries an accepted key in the
// configured header.
func (k *keys) check(h *fasthttp.RequestHeader) error {
	if !k.enabled {
		return nil
	}
	given := h.Peek(k.header)
	if k.bearer && len(given) > len(scheme) && bytes.EqualFold(given[:len(scheme)], scheme) {
		given = bytes.TrimSpace(given[len(scheme):])
	}
	return k.accept(given)
}

// checkShipper is check for the doors for shippers, whose clients may have the
// key where those of other systems have it.
func (k *keys) checkShipper(h *fasthttp.RequestHeader) error {
	if !k.enabled || k.check(h) == nil {
		return nil
	}
	for _, given := range k.given(h) {
		if k.accept(given) == nil {
			return nil
		}
	}
	return errKey
}

// accept returns errKey unless given is an accepted key. It compares with every
// key, whichever matches, in constant time.
func (k *keys) accept(given []byte) error {
	hash := sha256.Sum256(given)
	match := -1
	for i := range k.hashes {
		match = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(hash[:], k.hashes[i][:]), i, match)
	}
	if match < 0 || len(given) == 0 {
		return errKey
	}
	if used := k.used[match]; used != nil {
		used.Inc()
	}
	return nil
}

// given returns what a request carries as its key where the clients of other
// systems have it. Datadog's have a header of their own; in Authorization, Splunk's name the scheme Splunk, Elasticsearch's ApiKey
// (with the key alone, or with its name and a colon before it, in base64), and
// those of Loki and others Bearer, or Basic with the key as the password.
func (k *keys) given(h *fasthttp.RequestHeader) (keys [3][]byte) {
	keys[0] = h.Peek("DD-API-KEY")
	word, rest, found := bytes.Cut(h.Peek(fasthttp.HeaderAuthorization), []byte(" "))
	if !found {
		return keys
	}
	rest = bytes.TrimSpace(rest)
	switch strings.ToLower(string(word)) {
	case "bearer", "splunk":
		keys[1] = rest
	case "apikey":
		keys[1], keys[2] = rest, afterColon(rest)
	case "basic":
		keys[1] = afterColon(rest)
	}
	return keys
}

// afterColon returns what follows the first colon of a text in base64.
func afterColon(text []byte) []byte {
	plain, err := base64.StdEncoding.AppendDecode(nil, text)
	if err != nil {
		return nil
	}
	_, after, _ := bytes.Cut(plain, []byte(":"))
	return after
}
