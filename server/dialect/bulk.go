package dialect

// Elasticsearch's _bulk: lines of an action and, after most of them, a document.

import (
	"bytes"
	"slices"
	"strconv"
	"unicode/utf8"
)

// Item is what became of one action of a _bulk body.
type Item struct {
	Action Action
	Error  string // why its document was not stored; empty if it was
}

const (
	itemBytes = 24 // about
	// ItemBytes is the most that an item takes in the answer, without its reason.
	ItemBytes = 80
	// maxItemReasons is how many items say why; the others say only that.
	maxItemReasons = 1000
)

// Action is what a _bulk body asks for.
type Action uint8

// The actions that there are. index and create store a document here.
const (
	noAction Action = iota
	actionIndex
	actionCreate
	actionUpdate
	actionDelete
)

var actionNames = [...]string{"index", "index", "create", "update", "delete"}

// bulk takes a _bulk body.
func (w *Writer) bulk(body []byte) {
	body = bytes.TrimPrefix(body, []byte("\xef\xbb\xbf"))
	var last []byte // the action line before, which usually says the same again
	action := noAction
	for !w.full {
		if action == actionIndex || action == actionCreate {
			body = w.bulkAgain(body, last, action)
		}
		line, rest, ok := nextLine(body)
		if !ok {
			return
		}
		body = rest
		if !bytes.Equal(line, last) {
			if action = actionOf(line); action == noAction {
				w.item(noAction)
				w.reject(line, "is no action of _bulk where one has to be")
				last = nil
				continue
			}
			last = line
		}
		w.item(action)
		if action == actionDelete {
			w.reject(line, "asks to delete, which is not done here")
			continue
		}
		document, rest, ok := nextLine(body)
		if !ok || actionOf(document) != noAction {
			w.reject(line, "is an action without a document")
			continue
		}
		body = rest
		if action == actionUpdate {
			w.reject(document, "comes with the action update, which is not done here")
			continue
		}
		w.add(document, noTime, nil)
	}
}

// bulkAgain takes what body begins with, as long as it is the same action line and a
// document that is read at once. It returns the rest.
func (w *Writer) bulkAgain(body, line []byte, action Action) []byte {
	for !w.full && len(body) > len(line) && body[len(line)] == '\n' && string(body[:len(line)]) == string(line) {
		if !w.growItems() || !w.admit() {
			break
		}
		end := w.Batch.AppendPlainObject(body, len(line)+1)
		if end == 0 {
			break
		}
		w.result.Items = append(w.result.Items, Item{Action: action})
		w.result.records++
		body = body[min(end+1, len(body)):]
	}
	return body
}

// item begins the item of the next record.
func (w *Writer) item(action Action) {
	if w.admit() && w.growItems() {
		w.result.Items = append(w.result.Items, Item{Action: action})
	}
}

// nextLine returns the first line of body that is not blank, without its end.
func nextLine(body []byte) (line, rest []byte, ok bool) {
	for len(body) > 0 {
		if end := bytes.IndexByte(body, '\n'); end >= 0 {
			line, rest = body[:end], body[end+1:]
		} else {
			line, rest = body, nil
		}
		if n := len(line); n > 0 && line[0] > ' ' && line[n-1] > ' ' && line[0] < utf8.RuneSelf && line[n-1] < utf8.RuneSelf {
			return line, rest, true // the usual one
		}
		if line = bytes.TrimSpace(line); len(line) > 0 {
			return line, rest, true
		}
		body = rest
	}
	return nil, nil, false
}

// actionOf reads an action line: an object with one member that names the action
// and holds an object of what is to be known about it. It is noAction for
// anything else, so also for nearly every document.
func actionOf(line []byte) Action {
	if len(line) > 2 && line[1] == '"' && line[2] != 'i' && line[2] != 'c' && line[2] != 'u' && line[2] != 'd' && line[2] != '\\' {
		return noAction // nearly every document
	}
	action := noAction
	others := 0
	end := members(line, 0, func(name []byte, i int) int {
		others++
		switch string(name) {
		case "index":
			action = actionIndex
		case "create":
			action = actionCreate
		case "update":
			action = actionUpdate
		case "delete":
			action = actionDelete
		default:
			return -1
		}
		return members(line, i, func(name []byte, i int) int {
			if !metadata(name) {
				return -1
			}
			return valueEnd(line, i)
		})
	})
	if end != len(line) || others != 1 {
		return noAction
	}
	return action
}

// metadata reports whether an action line may have a member of that name.
func metadata(name []byte) bool {
	if len(name) > 0 && name[0] == '_' {
		return true
	}
	switch string(name) {
	case "routing", "pipeline", "version", "version_type", "op_type", "require_alias", "require_data_stream",
		"dynamic_templates", "if_seq_no", "if_primary_term", "retry_on_conflict", "list_executed_pipelines", "parent", "timestamp", "ttl":
		return true
	}
	return false
}

// filterPath is what a client wants of the answer to _bulk: ?filter_path=.
type filterPath struct{ took, errors, status, reasons bool }

// parseFilter reads the patterns that clients use; others leave everything in.
func parseFilter(patterns []byte) filterPath {
	if len(patterns) == 0 {
		return filterPath{true, true, true, true}
	}
	var f filterPath
	excluded := true // only exclusions so far
	for pattern := range bytes.SplitSeq(patterns, []byte(",")) {
		if name, not := bytes.CutPrefix(bytes.TrimSpace(pattern), []byte("-")); not {
			if excluded {
				f = filterPath{true, true, true, true}
			}
			f.set(name, false)
			excluded = false
			continue
		}
		excluded = false
		f.set(bytes.TrimSpace(pattern), true)
	}
	return f
}

func (f *filterPath) set(pattern []byte, on bool) {
	switch string(pattern) {
	case "took":
		f.took = on
	case "errors", "error*":
		f.errors = on
	case "items", "items.*", "items.**", "items.*.*":
		f.status, f.reasons = on, on
	case "items.*.status":
		f.status = on
	case "items.*.error", "items.*.error.*", "items.*.error.type", "items.*.error.reason":
		f.reasons = on
	case "*", "**":
		*f = filterPath{on, on, on, on}
	}
}

// maxItemReason is how much of a reason an item gives.
const maxItemReason = 200

func answerBulk(dst []byte, req *Request, r *Result) Answer {
	f := parseFilter(req.Query("filter_path"))
	// At once: an answer that grew would be in memory twice.
	dst = append(slices.Grow(dst, ItemBytes*len(r.Items)+maxItemReason*min(r.Rejected, maxItemReasons)), '{')
	if f.took {
		dst = strconv.AppendInt(append(dst, `"took":`...), req.Took().Milliseconds(), 10)
	}
	if f.errors {
		dst = comma(dst)
		dst = strconv.AppendBool(append(dst, `"errors":`...), r.Rejected > 0)
	}
	reasons := 0
	if f.status || f.reasons && r.Rejected > 0 {
		dst = append(comma(dst), `"items":[`...)
		for i := range r.Items {
			item := &r.Items[i]
			if item.Error == "" {
				if f.status {
					dst = append(comma(dst), storedItems[item.Action]...)
				}
				continue
			}
			dst = append(comma(dst), '{', '"')
			dst = append(append(dst, actionNames[item.Action]...), `":{`...)
			if f.status {
				dst = append(dst, `"status":400`...)
			}
			if f.reasons {
				dst = append(comma(dst), `"error":{"type":"document_parsing_exception"`...)
				if reasons++; reasons <= maxItemReasons {
					dst = appendString(append(dst, `,"reason":`...), clip(item.Error, maxItemReason))
				}
				dst = append(dst, '}')
			}
			dst = append(dst, '}', '}')
		}
		dst = append(dst, ']')
	}
	return req.elastic(Answer{Status: 200, Body: append(dst, '}')})
}

// storedItems are the items of actions whose document was stored.
var storedItems = [...]string{`{"index":{"status":201}}`, `{"index":{"status":201}}`, `{"create":{"status":201}}`}

// comma appends a comma unless a list or an object has just begun.
func comma(dst []byte) []byte {
	if n := len(dst); n > 0 && (dst[n-1] == '{' || dst[n-1] == '[') {
		return dst
	}
	return append(dst, ',')
}
