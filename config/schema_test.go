package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

// Ensure that the schema that is shipped is this build's;
// go test ./config -update writes it.
func TestSchema_FileIsCurrent(t *testing.T) {
	const file = "schema.json"
	text, err := os.ReadFile(file)
	if err == nil && bytes.Equal(text, Schema()) {
		return
	}
	if !*update {
		t.Fatalf("%s is not this build's; write it with: go test ./config -update", file)
	}
	if err := os.WriteFile(file, Schema(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// validator returns what a YAML text is for the schema: nil when it is valid.
func validator(t *testing.T) func(text string) error {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("schema.json", document); err != nil {
		t.Fatal(err)
	}
	compiled, err := c.Compile("schema.json") // against the meta-schema, too
	if err != nil {
		t.Fatal(err)
	}
	return func(text string) error {
		var value any
		if err := yaml.Unmarshal([]byte(text), &value); err != nil {
			return err
		}
		asJSON, err := json.Marshal(value)
		if err != nil {
			return err
		}
		instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(asJSON))
		if err != nil {
			return err
		}
		return compiled.Validate(instance)
	}
}

func TestSchema_AcceptsTheExamplesTheSampleAndWhatIsPrinted(t *testing.T) {
	valid := validator(t)
	files, err := filepath.Glob("examples/*.yaml")
	if err != nil || len(files) < 4 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := valid(string(text)); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
	for name, text := range map[string]string{"the sample": string(Sample()), "the sample, uncommented": uncommented(string(Sample()))} {
		if err := valid(text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for pipeline := range 2 {
		cfg, _ := mustLoad(t, fmt.Sprintf("pipeline: %d", pipeline+1), nil)
		text, err := cfg.YAML(nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := valid(string(text)); err != nil {
			t.Errorf("what is printed: %v", err)
		}
	}
}

// Ensure that for every setting and many values, good and bad, the schema
// accepts what the program accepts and nothing else.
func TestSchema_AgreesWithTheProgramOnEverySettingAndValue(t *testing.T) {
	valid := validator(t)
	values := []string{
		"", "null", "''", "x", "'0'", "0", "1", "2", "3", "-1", "1.5", "4096", "10_000", "40000", "2147483647", "2147483648", "32MiB", "1KiB", "12B", "1XB", "1.5MiB",
		"0s", "5s", "1m30s", "100ms", "-5s", "5", "soon", "1h0.5m", ".5s", "true", "false", "maybe", "yes", "Off", "'true'", "[]", "[a]", "[a, b]", "[1]", "[true]", "[null]", "[ , a]", "[[a]]", "{a: b}", "{}", "[{a: b}]", "[{a: b, c: d}]", "{'a b': c}",
		"written", "file", "both", "none", "zstd", "earliest", "stop", "PLAIN", "info", "json",
	}
	var def Config
	compared := 0
	for s := range def.Settings() {
		for _, value := range values {
			path := strings.Split(s.Key, ".")
			text := strings.Join(path, ": {") + ": " + value + strings.Repeat("}", len(path)-1)
			cfg := Default()
			_, _, loaded := readYAML("c.yaml", []byte(text), &cfg)
			if loaded == nil {
				own := new(validation)
				got := cfg.setting(s.Key)
				own.tags(got)
				if keys, ok := got.Value.(Keys); ok && keys.problem() != nil {
					own.fail("keys")
				}
				loaded = joined(own)
			}
			// A schema cannot compare sizes that are written with a unit.
			_, size := s.Value.(Bytes)
			lenient := size && strings.ContainsAny(value, "B'")
			if schema := valid(text); (schema == nil) != (loaded == nil) && !(lenient && schema == nil) {
				t.Errorf("%s\nprogram: %v\nschema: %v", text, loaded, schema)
			}
			compared++
		}
	}
	if compared < 3000 {
		t.Errorf("only %d documents compared", compared)
	}
	for _, text := range []string{"nonsense: 1", "server: {adr: x}", "server: 5", "kafka: {tls: {enabld: true}}", "[a]"} {
		if valid(text) == nil {
			t.Errorf("the schema accepts %s", text)
		}
	}
	// Keys of the earlier program are no mistakes.
	if err := valid("storage: {minio: {endpoint: x}}\nkafka: {async: false}"); err != nil {
		t.Error(err)
	}
}

func joined(v *validation) error {
	if len(v.errs) == 0 {
		return nil
	}
	return v.errs[0]
}
