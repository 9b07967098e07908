package server

import (
	_ "embed"

	"github.com/valyala/fasthttp"
)

// OpenAPI describes every route, in OpenAPI 3.1; a test holds it to the routes
// that there are. It is served at GET /openapi.json.
//
//go:embed openapi.json
var OpenAPI []byte

func getOpenAPI(ctx *fasthttp.RequestCtx) {
	ctx.SetContentType("application/json")
	ctx.Response.SetBodyRaw(OpenAPI)
}
