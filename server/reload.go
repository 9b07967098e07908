package server

import (
	"errors"
	"slices"

	"logforge/config"
	"logforge/server/peers"
)

// Reload takes over the API keys and the certificates of cfg, read from their
// files again, and the key for peers, while connections and batches go on: a
// request is checked by the keys of its time, a connection keeps the certificate
// that it began with. After an error everything is as before. Whether TLS is used
// at all cannot change.
func (s *Server) Reload(cfg *config.Config) error {
	next, err := newTLS(cfg.Server.TLS)
	if err != nil {
		return err
	}
	if (next == nil) != (s.tls.Load() == nil) {
		return errors.New("server.tls: turning TLS on or off takes a restart")
	}
	s.tls.Store(next)
	old := s.keys.Swap(newKeyring(cfg.Auth, s.set))
	for _, name := range old.names {
		if !slices.Contains(s.keys.Load().names, name) {
			s.set.UnregisterMetric(keyMetric(name))
		}
	}
	if view, ok := s.summaries.(*peers.View); ok {
		view.SetKey(cfg.Auth.HeaderName, cfg.Analytics.PeerKey)
	}
	if s.dashboard != nil {
		s.dashboard.setAuth(cfg.Auth)
	}
	return nil
}
