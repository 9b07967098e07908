package server

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"strings"

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
	challenge string // WWW-Authenticate of a 401 (RFC 9110, section 11.6.1)
}

var scheme = []byte("Bearer ")

func newKeys(cfg config.Auth) keys {
	k := keys{
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
	}
	return k
}

// check returns errKey unless the request carries an accepted key. It compares
// with every key, whichever matches, in constant time.
func (k *keys) check(h *fasthttp.RequestHeader) error {
	if !k.enabled {
		return nil
	}
	given := h.Peek(k.header)
	if k.bearer && len(given) > len(scheme) && bytes.EqualFold(given[:len(scheme)], scheme) {
		given = bytes.TrimSpace(given[len(scheme):])
	}
	hash := sha256.Sum256(given)
	match := 0
	for i := range k.hashes {
		match |= subtle.ConstantTimeCompare(hash[:], k.hashes[i][:])
	}
	if match == 0 || len(given) == 0 {
		return errKey
	}
	return nil
}
