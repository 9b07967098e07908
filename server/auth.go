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
	"logforge/config/metric"
)

// keyring holds the accepted API keys, as hashes: all of one length, so that the
// comparison tells neither a key's length nor how much of it was right. It is
// never changed: Reload puts another one in its place.
type keyring struct {
	enabled   bool
	metrics   bool // auth.metrics
	header    string
	keys      []acceptedKey
	names     []string // of those that have one
	challenge string   // WWW-Authenticate of a 401 (RFC 9110, section 11.6.1)
}

type acceptedKey struct {
	hash  [sha256.Size]byte
	name  string           // "" for a key without one
	count *metrics.Counter // of the requests that came with it; nil for a key without a name
}

const (
	// mask is what the configuration prints for a key. It is no key, so that what
	// was printed does not open anything when it is used as a configuration.
	mask = "********"
	// maxKeyBytes bounds what is looked at as a key.
	maxKeyBytes = 4 << 10
)

func newKeyring(cfg config.Auth, set *metrics.Set) *keyring {
	k := &keyring{enabled: cfg.Enabled, metrics: cfg.Metrics, header: cfg.HeaderName, challenge: `ApiKey header="` + cfg.HeaderName + `"`}
	if strings.EqualFold(cfg.HeaderName, fasthttp.HeaderAuthorization) {
		k.challenge = "Bearer"
	}
	for _, key := range cfg.Keys {
		if key.Value == "" || key.Value == mask {
			continue
		}
		accepted := acceptedKey{hash: sha256.Sum256([]byte(key.Value)), name: key.Name}
		if key.Name != "" {
			k.names = append(k.names, key.Name)
			accepted.count = metric.Counter(set, keyMetric(key.Name), "Requests with an accepted API key that has a name, by that name.")
		}
		k.keys = append(k.keys, accepted)
	}
	return k
}

// keyMetric names the counter of a key. The label is bounded by the configuration.
func keyMetric(name string) string {
	return `logforge_key_requests_total{key="` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(name) + `"}`
}

// check returns the name of the key that the request carries, or errKey. The key
// may come in the configured header, in own, which the clients of one dialect use
// ("" for none), or in Authorization: after the word Bearer, Splunk, ApiKey or
// another, or as the password of Basic.
func (k *keyring) check(h *fasthttp.RequestHeader, own string) (name string, err error) {
	if !k.enabled {
		return "", nil
	}
	found := k.lookUp(h, own)
	if found == nil {
		return "", errKey
	}
	if found.count != nil {
		found.count.Inc()
	}
	return found.name, nil
}

// lookUp returns the key that the request carries in any of these places, or nil.
func (k *keyring) lookUp(h *fasthttp.RequestHeader, own string) *acceptedKey {
	found := k.find(h.Peek(k.header))
	if own != "" && found == nil {
		found = k.find(h.Peek(own))
	}
	if found == nil {
		found = k.findAuthorization(h.Peek(fasthttp.HeaderAuthorization))
	}
	return found
}

// find returns the key that was given, or nil. It compares with every key,
// whichever matches, in constant time.
func (k *keyring) find(given []byte) *acceptedKey {
	if len(given) == 0 || len(given) > maxKeyBytes {
		return nil
	}
	hash := sha256.Sum256(given)
	match := -1
	for i := range k.keys {
		match = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(hash[:], k.keys[i].hash[:]), i, match)
	}
	if match < 0 {
		return nil
	}
	return &k.keys[match]
}

// findAuthorization looks for a key in the value of Authorization. Basic has it as
// the password, or as the user of an empty one; ApiKey, as Elasticsearch's clients
// have it, may have it behind an id, both in base64.
func (k *keyring) findAuthorization(value []byte) *acceptedKey {
	scheme, given, ok := bytes.Cut(value, []byte(" "))
	if !ok {
		return nil
	}
	given = bytes.TrimSpace(given)
	basic := bytes.EqualFold(scheme, []byte("Basic"))
	if !basic {
		if found := k.find(given); found != nil {
			return found
		}
		if !bytes.EqualFold(scheme, []byte("ApiKey")) {
			return nil
		}
	}
	if len(given) > maxKeyBytes {
		return nil
	}
	plain, err := base64.StdEncoding.DecodeString(string(given))
	if err != nil {
		return nil
	}
	user, password, _ := bytes.Cut(plain, []byte(":"))
	if len(password) == 0 {
		password = user
	}
	return k.find(password)
}
