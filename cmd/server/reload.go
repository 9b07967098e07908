package main

// SIGHUP: what can change while connections and batches go on.

import (
	"slices"
	"strings"

	"logforge/config"
)

// reloader is a part that takes over what may change while it runs: of cfg, API
// keys, certificates and other secrets. After an error it goes on as before.
type reloader interface {
	Reload(cfg *config.Config) error
}

// reloadable reports whether a setting takes effect without a restart. A secret
// in a file does: whoever uses it reads the file for each new connection.
func reloadable(key string, next *config.Config) bool {
	return key == "log.level" || key == "analytics.peerKey" || strings.HasPrefix(key, "auth.") || strings.HasPrefix(key, "server.tls.") || next.FromFile(key)
}

// reload reads the configuration again and puts into effect what can be. A
// configuration that is refused changes nothing.
func (s *service) reload() {
	next, warnings, err := s.settings.Load()
	for _, w := range warnings {
		s.log.Warn("configuration: " + w)
	}
	if err != nil {
		s.log.Error("reload refused: the configuration in effect stays", "err", err)
		return
	}
	if s.cfg.Auth.Enabled && !next.Auth.Enabled && s.settings.Origin("auth.enabled").Layer == config.LayerDefault {
		// Most likely the file is just being written.
		s.log.Error("reload refused: the configuration has no keys any more, and would let everybody in; say auth.enabled: false if that is meant")
		return
	}
	// What needs a restart stays as it is in every part. Turning TLS on or off does.
	effective := *s.cfg
	effective.Auth, effective.Log.Level, effective.Analytics.PeerKey = next.Auth, next.Log.Level, next.Analytics.PeerKey
	sameTLS := (next.Server.TLS.CertFile == "") == (s.cfg.Server.TLS.CertFile == "")
	if sameTLS {
		effective.Server.TLS = next.Server.TLS
	}
	for _, part := range s.reloaders {
		if err := part.Reload(&effective); err != nil {
			s.log.Error("reload refused: the configuration in effect stays", "err", err)
			return
		}
	}
	changed, restart := []string{}, []string{}
	for _, key := range config.Changes(s.cfg, next) {
		if reloadable(key, next) && (sameTLS || !strings.HasPrefix(key, "server.tls.")) {
			changed = append(changed, key)
		} else {
			restart = append(restart, key)
		}
	}
	s.cfg = &effective
	s.log.setLevel(effective.Log)
	// The certificates' files are read again in any case.
	s.log.Info("reloaded", "changed", strings.Join(changed, ","), "authentication", effective.Auth.Enabled, "keys", len(effective.Auth.Keys), "names", keyNames(effective.Auth.Keys))
	if len(restart) > 0 {
		slices.Sort(restart)
		s.log.Warn("changes that take effect only after a restart", "settings", strings.Join(restart, ","))
	}
}

// keyNames returns the names of the keys that have one, for the log.
func keyNames(keys config.Keys) string {
	var names []string
	for _, key := range keys {
		if key.Name != "" {
			names = append(names, key.Name)
		}
	}
	return strings.Join(names, ",")
}
