package dialect

// What Elasticsearch clients ask before they send anything, or beside it: which
// server this is, its licence, its templates and policies. The answers say that
// there is a server of version 8 with a basic licence, and that what is to be set
// up is there already.

import (
	"bytes"
	"strings"
)

// elasticVersion is what the server says it is. Clients refuse an older major
// version than their own, and newer ones take this one.
const elasticVersion = "8.19.0"

const elasticInfo = `{"name":"logforge","cluster_name":"logforge","cluster_uuid":"bG9nZm9yZ2UtbG9nZm9yZw",` +
	`"version":{"number":"` + elasticVersion + `","build_flavor":"default","build_type":"tar","build_hash":"0000000000000000000000000000000000000000",` +
	`"build_date":"2026-01-01T00:00:00.000Z","build_snapshot":false,"lucene_version":"9.12.0",` +
	`"minimum_wire_compatibility_version":"7.17.0","minimum_index_compatibility_version":"7.0.0"},"tagline":"You Know, for Search"}`

const elasticLicense = `{"license":{"status":"active","uid":"00000000-0000-0000-0000-000000000000","type":"basic","mode":"basic","issue_date":"2026-01-01T00:00:00.000Z",` +
	`"issue_date_in_millis":1767225600000,"max_nodes":1000,"issued_to":"logforge","issuer":"logforge","start_date_in_millis":-1}}`

const elasticXPack = `{"build":{"hash":"0000000000000000000000000000000000000000","date":"2026-01-01T00:00:00.000Z"},` +
	`"license":{"uid":"00000000-0000-0000-0000-000000000000","type":"basic","mode":"basic","status":"active"},` +
	`"features":{"ilm":{"available":true,"enabled":true},"monitoring":{"available":false,"enabled":false},"security":{"available":true,"enabled":false}},"tagline":"You know, for X"}`

const elasticNodes = `{"_nodes":{"total":1,"successful":1,"failed":0},"cluster_name":"logforge","nodes":{"logforge":{"name":"logforge","version":"` + elasticVersion + `","roles":["data","ingest","master"]}}}`

const elasticHealth = `{"cluster_name":"logforge","status":"green","timed_out":false,"number_of_nodes":1,"number_of_data_nodes":1,"active_primary_shards":0,"active_shards":0,` +
	`"relocating_shards":0,"initializing_shards":0,"unassigned_shards":0,"delayed_unassigned_shards":0,"number_of_pending_tasks":0,` +
	`"number_of_in_flight_fetch":0,"task_max_waiting_in_queue_millis":0,"active_shards_percent_as_number":100.0}`

const acknowledged = `{"acknowledged":true,"shards_acknowledged":true}`

// ElasticPrefix is the path below which everything of Elasticsearch is served, besides
// where its clients look for it by themselves.
const ElasticPrefix = "/elasticsearch"

// elasticPaths are the first parts of the paths that clients set up or ask about.
var elasticPaths = map[string]string{ // to what a GET answers
	"_license":            elasticLicense,
	"_xpack":              elasticXPack,
	"_nodes":              elasticNodes,
	"_cluster":            elasticHealth,
	"_ilm":                `{}`,
	"_index_template":     `{"index_templates":[]}`,
	"_component_template": `{"component_templates":[]}`,
	"_template":           `{}`,
	"_ingest":             `{}`,
	"_data_stream":        `{"data_streams":[]}`,
	"_alias":              `{}`,
	"_cat":                `[]`,
}

// IsElastic reports whether AnswerElastic answers a request for path: everything
// below ElasticPrefix that does not end in _bulk, and what clients look for at /.
func IsElastic(path []byte) bool {
	if len(path) < 2 || path[1] != '_' && path[1] != 'e' {
		return false // nearly all of them
	}
	if rest, below := bytes.CutPrefix(path, []byte(ElasticPrefix)); below && (len(rest) == 0 || rest[0] == '/') {
		return !bytes.HasSuffix(rest, []byte("/_bulk"))
	}
	first, _, _ := bytes.Cut(path[1:], []byte("/"))
	_, known := elasticPaths[string(first)]
	return known
}

// IsIndex reports whether AnswerElastic answers a request of an Elasticsearch client
// for path, which names an index, or what belongs to one: Logstash and Fluentd make an
// index and its alias before they send anything. A single document is none of that:
// nothing answers for it here, as it would not be stored.
func IsIndex(path []byte) bool {
	index, of := splitIndex(strings.TrimPrefix(string(path), ElasticPrefix))
	switch {
	case index == "" || index[0] == '_':
		return false
	case of == "":
		return true
	}
	switch first, _, _ := strings.Cut(of, "/"); first {
	case "_alias", "_aliases", "_settings", "_mapping", "_refresh":
		return true
	}
	return false
}

// splitIndex splits a path after the name of an index. One with a date in it,
// <logs-{now/d}>, has a slash within.
func splitIndex(path string) (index, of string) {
	path = strings.TrimPrefix(path, "/")
	if strings.HasPrefix(path, "<") {
		if i := strings.IndexByte(path, '>'); i >= 0 {
			return path[:i+1], strings.TrimPrefix(path[i+1:], "/")
		}
	}
	index, of, _ = strings.Cut(path, "/")
	return index, of
}

// AsksElastic reports whether a request for / comes from an Elasticsearch client,
// by its Accept or User-Agent.
func AsksElastic(accept, userAgent []byte) bool {
	if bytes.Contains(accept, []byte("application/vnd.elasticsearch+json")) {
		return true
	}
	agent := strings.ToLower(string(userAgent))
	for _, word := range []string{"elastic", "logstash", "beat", "opensearch", "vector/"} {
		if strings.Contains(agent, word) && !strings.Contains(agent, "mozilla") {
			return true
		}
	}
	return false
}

// AnswerElastic answers what clients ask beside _bulk. path is below
// ElasticPrefix, or without it. HEAD is answered as GET.
func AnswerElastic(req *Request, method string) Answer {
	path := strings.TrimPrefix(string(req.Path), ElasticPrefix)
	first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	a := Answer{Status: 200}
	switch body, known := elasticPaths[first]; {
	case first == "":
		a.Body = []byte(elasticInfo)
	case !known && IsIndex(req.Path) && method != "GET" && method != "HEAD": // no index is there before it is made
		a.Body = []byte(acknowledged)
	case !known:
		return refuseElastic(nil, req, Problem{Status: 404, Detail: "there is nothing at this path"})
	case method == "GET" || method == "HEAD":
		a.Body = []byte(body)
	default:
		a.Body = []byte(acknowledged)
	}
	return req.elastic(a)
}

// elastic makes a an answer of Elasticsearch, in the media type the client asks
// for.
func (r *Request) elastic(a Answer) Answer {
	a.Product = true
	a.ContentType = typeJSON
	if bytes.Contains(r.Accept, []byte("application/vnd.elasticsearch+json")) {
		a.ContentType = "application/vnd.elasticsearch+json;compatible-with=8"
		if bytes.Contains(r.Accept, []byte("compatible-with=9")) {
			a.ContentType = "application/vnd.elasticsearch+json;compatible-with=9"
		}
	}
	return a
}
