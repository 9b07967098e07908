package server

import (
	"bytes"
	"slices"
	"strings"

	"github.com/valyala/fasthttp"
)

// Web pages of others. A browser lets any page send a request anywhere, also to
// a server on localhost or in a private network, and adds where the page is from.
// Such a request must neither store records nor read data, unless its origin is in
// server.allowedOrigins. Programs that are no browsers send none of this.

// checkOrigin returns errOrigin for a request of a page of another site.
func (s *Server) checkOrigin(h *fasthttp.RequestHeader) error {
	if !hasHeader(h, "origin:", "sec-fetch-site:") {
		return nil
	}
	origin, site := h.Peek(fasthttp.HeaderOrigin), h.Peek("Sec-Fetch-Site")
	if len(origin) == 0 && len(site) == 0 || s.allowsOrigin(origin) {
		return nil
	}
	if string(site) == "cross-site" {
		return errOrigin
	}
	// A proxy may have changed the host; then it is the browser that knows.
	if len(origin) == 0 || string(site) == "same-origin" || sameHost(origin, h.Host()) {
		return nil
	}
	return errOrigin
}

// allowsOrigin says whether origin is in server.allowedOrigins.
func (s *Server) allowsOrigin(origin []byte) bool {
	if len(origin) == 0 || len(s.cfg.AllowedOrigins) == 0 {
		return false
	}
	return slices.ContainsFunc(s.cfg.AllowedOrigins, func(allowed string) bool {
		return allowed == "*" || strings.EqualFold(allowed, string(origin))
	})
}

// sameHost says whether origin, scheme://host[:port], is of the host that the
// request was sent to, whatever the scheme: TLS may have ended in front of us.
func sameHost(origin, host []byte) bool {
	scheme, name, ok := bytes.Cut(origin, []byte("://"))
	if !ok || len(name) == 0 {
		return false
	}
	port := ":80"
	if string(scheme) == "https" {
		port = ":443"
	}
	without := func(b []byte) []byte { return bytes.TrimSuffix(b, []byte(port)) }
	return bytes.EqualFold(without(name), without(host))
}

// allowReading tells the browser that a page of an allowed origin may read the
// answer.
func (s *Server) allowReading(ctx *fasthttp.RequestCtx) {
	if len(s.cfg.AllowedOrigins) == 0 {
		return
	}
	h := &ctx.Response.Header
	h.Set(fasthttp.HeaderVary, fasthttp.HeaderOrigin)
	if origin := ctx.Request.Header.Peek(fasthttp.HeaderOrigin); s.allowsOrigin(origin) {
		h.SetBytesV(fasthttp.HeaderAccessControlAllowOrigin, origin)
	}
}

// allowSending answers a browser that asks with OPTIONS what a page of an allowed
// origin may send to a path that takes the given methods.
func (s *Server) allowSending(ctx *fasthttp.RequestCtx, methods string) {
	s.allowReading(ctx)
	h := &ctx.Response.Header
	if len(h.Peek(fasthttp.HeaderAccessControlAllowOrigin)) > 0 {
		h.Set(fasthttp.HeaderAccessControlAllowMethods, methods)
		h.Set(fasthttp.HeaderAccessControlAllowHeaders, "Content-Type, Content-Encoding, Authorization, "+s.keys.Load().header)
		h.Set(fasthttp.HeaderAccessControlMaxAge, "600")
	}
}
