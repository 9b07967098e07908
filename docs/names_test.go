package docs

// What the documents name is there: files of the source, tests, and the imports of
// each room.

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// sources returns the paths of all Go files, from the root on.
func sources(t *testing.T) []string {
	t.Helper()
	var paths []string
	err := fs.WalkDir(os.DirFS(root), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := entry.Name(); entry.IsDir() && path != "." && (strings.HasPrefix(name, ".") || name == "node_modules") {
			return fs.SkipDir
		}
		if strings.HasSuffix(path, ".go") {
			paths = append(paths, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// Ensure that each Go file and each test that a document names exists. A file may
// be named without the directories that it is in, and of the name of a test the
// end may be left out with an ellipsis.
func TestDocuments_FilesAndTestsThatAreNamedExist(t *testing.T) {
	paths, tests := sources(t), testNames(t)
	file := regexp.MustCompile("`([a-z][\\w./-]*\\.go)`")
	test := regexp.MustCompile("`(Test\\w+)(…?)`")
	files, named := 0, 0
	for _, document := range documents(t) {
		_, prose := read(t, document)
		for n, line := range prose {
			for _, m := range file.FindAllStringSubmatch(line, -1) {
				files++
				if !slices.ContainsFunc(paths, func(path string) bool { return path == m[1] || strings.HasSuffix(path, "/"+m[1]) }) {
					t.Errorf("%s:%d: there is no file %s", document, n+1, m[1])
				}
			}
			for _, m := range test.FindAllStringSubmatch(line, -1) {
				named++
				found := tests[m[1]]
				for name := range tests {
					found = found || m[2] != "" && strings.HasPrefix(name, m[1])
				}
				if !found {
					t.Errorf("%s:%d: there is no test %s", document, n+1, m[1])
				}
			}
		}
	}
	if files < 10 || named < 10 {
		t.Errorf("only %d files and %d tests are named", files, named)
	}
}

// Ensure that the table of docs/architecture.md says of every room which others it
// imports. A part of config counts as config.
func TestArchitecture_TableHasTheImportsOfEveryRoom(t *testing.T) {
	_, prose := read(t, filepath.Join(root, "docs/architecture.md"))
	row := regexp.MustCompile("^\\| `([a-z/]+)` \\| .* \\| ([^|]+) \\|$")
	aside := regexp.MustCompile(` \([^)]*\)`)
	rooms := 0
	for _, line := range prose {
		m := row.FindStringSubmatch(line)
		if m == nil || m[2] == "all of them" {
			continue
		}
		rooms++
		out, err := exec.Command("go", "list", "-f", `{{join .Imports "\n"}}`, "logforge/"+m[1]).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		imports := []string{}
		for path := range strings.Lines(string(out)) {
			path, ours := strings.CutPrefix(strings.TrimSpace(path), "logforge/")
			if !ours {
				continue
			}
			name := filepath.Base(path)
			if strings.HasPrefix(path, "config/") {
				name = "config"
			}
			imports = append(imports, name)
		}
		slices.Sort(imports)
		imports = slices.Compact(imports)
		said := []string{}
		if m[2] != "nothing" {
			said = strings.Split(aside.ReplaceAllString(m[2], ""), ", ")
		}
		slices.Sort(said)
		if !slices.Equal(said, imports) {
			t.Errorf("%s imports %v, the table says %v", m[1], imports, said)
		}
	}
	if rooms < 12 {
		t.Errorf("only %d rooms in the table", rooms)
	}
}
