package modules

import (
	"bytes"
	"os"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// fitsSchema says what the schema that veer prints, or a part of it, refuses.
func fitsSchema(t *testing.T, part, text string) error {
	t.Helper()
	printed, err := os.ReadFile("../../../docs/veer.schema.json") // CI holds it to what veer prints
	if err != nil {
		t.Fatal(err)
	}
	schema, err := jsonschema.UnmarshalJSON(bytes.NewReader(printed))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("veer.json", schema); err != nil {
		t.Fatal(err)
	}
	compiled, err := c.Compile("veer.json" + part)
	if err != nil {
		t.Fatal(err)
	}
	var value any
	if err := yaml.Unmarshal([]byte(text), &value); err != nil {
		return err
	}
	return compiled.Validate(value)
}
