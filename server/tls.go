package server

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"

	"logforge/config"
)

// newTLS reads certificate, key and client authorities; nil when TLS is off.
// Errors name the file.
func newTLS(cfg config.TLS) (*tls.Config, error) {
	switch {
	case cfg.CertFile == "" && cfg.KeyFile == "" && cfg.ClientCAFile == "":
		return nil, nil
	case cfg.CertFile == "":
		return nil, fmt.Errorf("server.tls.certFile is not set, but server.tls.keyFile or clientCAFile is")
	case cfg.KeyFile == "":
		return nil, fmt.Errorf("server.tls.keyFile is not set, but server.tls.certFile or clientCAFile is")
	}
	// Read first: tls.LoadX509KeyPair's own message does not say which of the two is bad.
	cert, err := os.ReadFile(cfg.CertFile)
	if err != nil {
		return nil, fmt.Errorf("server.tls.certFile: %w", err)
	}
	key, err := os.ReadFile(cfg.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("server.tls.keyFile: %w", err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("server.tls.certFile %s with keyFile %s: %w", cfg.CertFile, cfg.KeyFile, err)
	}
	t := &tls.Config{
		MinVersion:   tls.VersionTLS12,
		Certificates: []tls.Certificate{pair},
		NextProtos:   []string{"http/1.1"},
	}
	if cfg.ClientCAFile == "" {
		return t, nil
	}
	pem, err := os.ReadFile(cfg.ClientCAFile)
	if err != nil {
		return nil, fmt.Errorf("server.tls.clientCAFile: %w", err)
	}
	t.ClientCAs = x509.NewCertPool()
	if !t.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("server.tls.clientCAFile %s holds no certificate in PEM form", cfg.ClientCAFile)
	}
	t.ClientAuth = tls.RequireAndVerifyClientCert
	return t, nil
}
