package metric

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/VictoriaMetrics/metrics"
)

var update = flag.Bool("update", false, "write docs/metrics.md anew")

func TestAppendDescribed_KeepsTheSamplesAndSaysWhatTheyAre(t *testing.T) {
	set := metrics.NewSet()
	Gauge(set, "test_up", "1 while it is up, otherwise 0.", func() float64 { return 1 })
	Counter(set, `test_lines_total{a="1"}`, "Lines.").Inc()
	Counter(set, `test_lines_total{a="1"}`, "Lines.").Inc() // the same one
	Histogram(set, "test_seconds", "How long it took.", 1).Update(0.5)
	FloatCounter(set, "test_parts_total", "Parts.").Add(0.5)
	f := func(in, want string) {
		t.Helper()
		if got := string(AppendDescribed([]byte("x\n"), []byte(in))); got != "x\n"+want {
			t.Errorf("%q\nbecame %q\nnot    %q", in, got, want)
		}
	}
	var text strings.Builder
	set.WritePrometheus(&text)
	f(text.String(), `# HELP test_lines_total Lines.
# TYPE test_lines_total counter
test_lines_total{a="1"} 2
# HELP test_parts_total Parts.
# TYPE test_parts_total counter
test_parts_total 0.5
# HELP test_seconds How long it took.
# TYPE test_seconds histogram
test_seconds_bucket{le="1"} 1
test_seconds_bucket{le="+Inf"} 1
test_seconds_sum 0.5
test_seconds_count 1
# HELP test_up 1 while it is up, otherwise 0.
# TYPE test_up gauge
test_up 1
`)
	f("", "")
	f("unknown 1\n", "unknown 1\n")
	f("go_cpu_count 2\nunknown 1\n", "unknown 1\n")
}

// family is a metric as the source makes it.
type family struct {
	kind, help string
	labels     []string
	room       string // the folder of the package that makes it
}

// families reads every call of this package in the program.
func families(t *testing.T) map[string]family {
	t.Helper()
	all := map[string]family{}
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != "../.." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "bench" || d.Name() == "node_modules"):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		names := namesOf(file)
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) < 3 {
				return true
			}
			fun, ok := call.Fun.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if pkg, ok := fun.X.(*ast.Ident); !ok || pkg.Name != "metric" {
				return true
			}
			kind := map[string]string{"Counter": "counter", "FloatCounter": "counter", "Gauge": "gauge", "Histogram": "histogram"}[fun.Sel.Name]
			name, labels := nameOf(t, path, call.Args[1], names)
			help := textOf(call.Args[2])
			if kind == "" || name == "" || help == "" {
				t.Errorf("%s: a metric whose name or meaning cannot be read from the source: %s", path, name)
				return true
			}
			if known, ok := all[name]; ok && (known.help != help || known.kind != kind) {
				t.Errorf("%s: %s is a %s, %q, and elsewhere a %s, %q", path, name, kind, help, known.kind, known.help)
			}
			all[name] = family{kind, help, labels, filepath.ToSlash(strings.TrimPrefix(filepath.Dir(path), "../../"))}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// namesOf returns the literals that the functions and variables of a file return
// or hold, for names that are put together.
func namesOf(file *ast.File) map[string]string {
	names := map[string]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			ast.Inspect(n, func(inner ast.Node) bool {
				if ret, ok := inner.(*ast.ReturnStmt); ok && len(ret.Results) == 1 {
					if text := textOf(ret.Results[0]); text != "" {
						names[n.Name.Name] = text
					}
				}
				return true
			})
		case *ast.AssignStmt:
			if id, ok := n.Lhs[0].(*ast.Ident); ok {
				if text := textOf(n.Rhs[0]); text != "" {
					names[id.Name] = text
				}
			}
		}
		return true
	})
	return names
}

var labelName = regexp.MustCompile(`[{,](\w+)=`)

// nameOf returns the family and the labels of the metric that an expression names.
func nameOf(t *testing.T, path string, e ast.Expr, names map[string]string) (string, []string) {
	t.Helper()
	text := textOf(e)
	if call, ok := e.(*ast.CallExpr); ok && text == "" {
		if id, ok := call.Fun.(*ast.Ident); ok {
			text = names[id.Name]
		}
	}
	if sum, ok := e.(*ast.BinaryExpr); ok {
		if id, ok := sum.Y.(*ast.Ident); ok {
			text += names[id.Name] // labels in a variable
		}
	}
	name, rest, _ := strings.Cut(text, "{")
	var labels []string
	for _, m := range labelName.FindAllStringSubmatch("{"+rest, -1) {
		labels = append(labels, m[1])
	}
	return name, labels
}

// textOf returns the text of a literal, of the literals of a sum, or of the form of
// a Sprintf.
func textOf(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		text, _ := strconv.Unquote(e.Value)
		return text
	case *ast.BinaryExpr:
		return textOf(e.X) + textOf(e.Y)
	case *ast.CallExpr:
		if fun, ok := e.Fun.(*ast.SelectorExpr); ok && fun.Sel.Name == "Sprintf" {
			return textOf(e.Args[0])
		}
	}
	return ""
}

// The list of metrics is made from the source, so that it has all of them.
func TestDocs_ListEveryMetric(t *testing.T) {
	all := families(t)
	var b strings.Builder
	b.WriteString("# Metrics\n\nWhat `GET /metrics` says, in the format of Prometheus, beside the metrics of Go (`go_…`) and of the process (`process_…`). " +
		"Sizes are bytes, times are seconds; counters begin at 0 with the process. This list is made from the source: `go test ./config/metric -update`.\n\n" +
		"What to watch, and what to do about it, is in [runbooks.md](runbooks.md).\n")
	rooms := map[string][]string{}
	for name, f := range all {
		rooms[f.room] = append(rooms[f.room], name)
	}
	if len(all) < 70 {
		t.Errorf("only %d metrics were found", len(all))
	}
	for _, room := range slices.Sorted(maps.Keys(rooms)) {
		fmt.Fprintf(&b, "\n## %s\n\n| metric | type | labels | meaning |\n|---|---|---|---|\n", room)
		slices.Sort(rooms[room])
		for _, name := range rooms[room] {
			f := all[name]
			var labels []string
			for _, l := range f.labels {
				labels = append(labels, "`"+l+"`")
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", name, f.kind, strings.Join(labels, ", "), strings.ReplaceAll(f.help, "|", "\\|"))
			if !strings.HasSuffix(f.help, ".") || strings.ContainsAny(f.help, "\n\\\t") {
				t.Errorf("%s: %q is no sentence", name, f.help)
			}
			if counts := strings.HasSuffix(name, "_total"); counts != (f.kind == "counter") {
				t.Errorf("%s is a %s", name, f.kind)
			}
		}
	}
	const doc = "../../docs/metrics.md"
	if *update {
		if err := os.WriteFile(doc, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if text, err := os.ReadFile(doc); err != nil || string(text) != b.String() {
		t.Errorf("docs/metrics.md is not that of the source (go test ./config/metric -update writes it): %v", err)
	}
}
