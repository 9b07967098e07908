// Package docs holds the documents to their word: links lead somewhere, and every
// command in them is run by a test.
package docs

import (
	"bufio"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const root = ".."

// documents returns the names of all documents, from the root on.
func documents(t *testing.T) []string {
	t.Helper()
	var names []string
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/*/*.md", "bench/*/*.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, found...)
	}
	if len(names) < 10 {
		t.Fatalf("only %d documents found", len(names))
	}
	return names
}

// block is a fenced block of a document.
type block struct {
	file string
	line int    // of its first line
	info string // behind the fence: the language, and who runs it
	text string
}

// read splits a document into its fenced blocks and the prose between them.
func read(t *testing.T, file string) (blocks []block, prose []string) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // it is only read
	var inside *block
	scanner := bufio.NewScanner(f)
	scanner.Buffer(nil, 1<<20)
	for n := 1; scanner.Scan(); n++ {
		line := scanner.Text()
		switch fence, ok := strings.CutPrefix(strings.TrimSpace(line), "```"); {
		case ok && inside == nil:
			inside = &block{file: file, line: n + 1, info: fence}
			prose = append(prose, "")
		case ok:
			blocks = append(blocks, *inside)
			inside = nil
			prose = append(prose, "")
		case inside != nil:
			inside.text += line + "\n"
			prose = append(prose, "")
		default:
			prose = append(prose, line)
		}
	}
	if err := scanner.Err(); err != nil || inside != nil {
		t.Fatalf("%s: %v, or a block without an end", file, err)
	}
	return blocks, prose
}

var (
	link      = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	codeSpan  = regexp.MustCompile("`[^`]*`")
	notInSlug = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// anchors returns what a link into the document can name: its headings, as
// GitHub spells them.
func anchors(t *testing.T, file string) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	_, prose := read(t, file)
	for _, line := range prose {
		title := strings.TrimLeft(line, "#")
		if title == line || !strings.HasPrefix(title, " ") {
			continue
		}
		slug := notInSlug.ReplaceAllString(strings.ToLower(strings.TrimSpace(title)), "")
		slug = strings.ReplaceAll(slug, " ", "-")
		for n := 1; found[slug]; n++ {
			slug = fmt.Sprintf("%s-%d", slug, n)
		}
		found[slug] = true
	}
	return found
}

func TestDocuments_EveryLinkLeadsSomewhere(t *testing.T) {
	checked := 0
	for _, file := range documents(t) {
		_, prose := read(t, file)
		for n, line := range prose {
			for _, m := range link.FindAllStringSubmatch(codeSpan.ReplaceAllString(line, ""), -1) {
				u, err := url.Parse(m[1])
				if err != nil {
					t.Errorf("%s:%d: %v", file, n+1, err)
					continue
				}
				if u.Scheme != "" {
					continue // elsewhere
				}
				checked++
				target := file
				if u.Path != "" {
					target = filepath.Join(filepath.Dir(file), u.Path)
				}
				if _, err := os.Stat(target); err != nil {
					t.Errorf("%s:%d: %s leads nowhere", file, n+1, m[1])
					continue
				}
				if u.Fragment != "" && !anchors(t, target)[u.Fragment] {
					t.Errorf("%s:%d: %s has no heading %s", file, n+1, target, u.Fragment)
				}
			}
		}
	}
	if checked < 20 {
		t.Errorf("only %d links found", checked)
	}
}

// A block of commands says behind its language who runs it:
//
//	console                 this test, which compares what it prints
//	sh by=TestName          that test; so do statements of SQL
//	sh by=.ci/run           the script, with these words
//	sh not-run="reason"     nobody, for a reason
var (
	runBy  = regexp.MustCompile(`^(?:sh|bash|sql)\s+by=(\S+)$`)
	notRun = regexp.MustCompile(`^(?:sh|bash|sql)\s+not-run="([^"]{10,})"$`)
)

func TestDocuments_EveryCommandIsRunBySomebody(t *testing.T) {
	tests := testNames(t)
	ci, err := os.ReadFile(filepath.Join(root, ".ci/run"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range documents(t) {
		blocks, _ := read(t, file)
		for _, b := range blocks {
			where := fmt.Sprintf("%s:%d", b.file, b.line)
			language, _, _ := strings.Cut(b.info, " ")
			switch m := runBy.FindStringSubmatch(b.info); {
			case language == "console":
				if filepath.Base(b.file) != "README.md" || filepath.Dir(b.file) != root {
					t.Errorf("%s: only the front page's sessions are run by this test: say by=", where)
				}
			case language == "sql" && b.info == "sql": // what somebody makes once, such as a table
			case language != "sh" && language != "bash" && language != "sql":
			case m != nil && m[1] == ".ci/run":
				for line := range strings.Lines(b.text) {
					command, _, _ := strings.Cut(line, "#")
					for _, word := range strings.Fields(command) {
						if !strings.Contains(string(ci), word) {
							t.Errorf("%s: .ci/run does not run %q", where, command)
							break
						}
					}
				}
			case m != nil:
				if !tests[m[1]] {
					t.Errorf("%s: there is no test %s", where, m[1])
				}
			case notRun.MatchString(b.info):
			default:
				t.Errorf("%s: who runs these commands? (%q)", where, b.info)
			}
		}
	}
}

// testNames returns the names of all tests of the tree.
func testNames(t *testing.T) map[string]bool {
	t.Helper()
	test := regexp.MustCompile(`(?m)^func (Test\w+)\(t `)
	names := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := entry.Name(); entry.IsDir() && path != root && (strings.HasPrefix(name, ".") || name == "node_modules") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(path)
		for _, m := range test.FindAllStringSubmatch(string(text), -1) {
			names[m[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
