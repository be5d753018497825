// Command standin serves a Terraform provider by its schema alone: the one
// that its own name ends in (terraform-provider-aws, terraform-provider-cloudflare).
//
// Terraform checks a configuration against the schema by itself, and
// `terraform test` makes up what a mock_provider's resources export. That is all
// that works: whatever would reach a real API is refused.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6/tf6server"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/veerdns/veer/terraform/internal/schemas"
)

func main() {
	if err := run(filepath.Base(os.Args[0])); err != nil {
		fmt.Fprintln(os.Stderr, "schema stand-in:", err)
		os.Exit(1)
	}
}

func run(program string) error {
	// terraform-provider-aws_v6.25.0, with or without the version.
	name, _, _ := strings.Cut(strings.TrimPrefix(program, "terraform-provider-"), "_")
	p, err := schemas.Load(name)
	if err != nil {
		return fmt.Errorf("%s: %w; the program's name says which provider it is: terraform-provider-%s", program, err, strings.Join(schemas.Names(), " or -"))
	}
	s, err := newServer(p)
	if err != nil {
		return err
	}
	return tf6server.Serve(p.Source.Address, func() tfprotov6.ProviderServer { return s })
}

func newServer(p *schemas.Provider) (*server, error) {
	s := &server{resources: map[string]*tfprotov6.Schema{}, data: map[string]*tfprotov6.Schema{}}
	config, err := block(p.Config)
	if err != nil {
		return nil, fmt.Errorf("provider %s: %w", p.Source.Address, err)
	}
	s.config = &tfprotov6.Schema{Block: config}
	for name, from := range p.Resources {
		b, err := block(from)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		s.resources[name] = &tfprotov6.Schema{Block: b}
	}
	for name, from := range p.DataSources {
		b, err := block(from)
		if err != nil {
			return nil, fmt.Errorf("data %s: %w", name, err)
		}
		s.data[name] = &tfprotov6.Schema{Block: b}
	}
	return s, nil
}

func block(from schemas.Block) (*tfprotov6.SchemaBlock, error) {
	b := &tfprotov6.SchemaBlock{}
	var err error
	if b.Attributes, err = attributes(from.Attributes); err != nil {
		return nil, err
	}
	for name, n := range from.Blocks {
		inner, err := block(n.Block)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		nesting, ok := map[string]tfprotov6.SchemaNestedBlockNestingMode{
			"single": tfprotov6.SchemaNestedBlockNestingModeSingle,
			"list":   tfprotov6.SchemaNestedBlockNestingModeList,
			"set":    tfprotov6.SchemaNestedBlockNestingModeSet,
		}[n.Nesting]
		if !ok {
			return nil, fmt.Errorf("%s: nesting %q is not known", name, n.Nesting)
		}
		b.BlockTypes = append(b.BlockTypes, &tfprotov6.SchemaNestedBlock{TypeName: name, Block: inner, Nesting: nesting, MinItems: n.Min, MaxItems: n.Max})
	}
	return b, nil
}

func attributes(from map[string]schemas.Attribute) ([]*tfprotov6.SchemaAttribute, error) {
	var out []*tfprotov6.SchemaAttribute
	for name, a := range from {
		to := &tfprotov6.SchemaAttribute{Name: name, Required: a.Required, Optional: a.Optional, Computed: a.Computed, WriteOnly: a.WriteOnly}
		if a.Nested == nil {
			t, err := typeOf(a.Type)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			to.Type = t
			out = append(out, to)
			continue
		}
		inner, err := attributes(a.Nested.Attributes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		nesting, ok := map[string]tfprotov6.SchemaObjectNestingMode{
			"single": tfprotov6.SchemaObjectNestingModeSingle,
			"list":   tfprotov6.SchemaObjectNestingModeList,
			"set":    tfprotov6.SchemaObjectNestingModeSet,
			"map":    tfprotov6.SchemaObjectNestingModeMap,
		}[a.Nested.Nesting]
		if !ok {
			return nil, fmt.Errorf("%s: nesting %q is not known", name, a.Nested.Nesting)
		}
		to.NestedType = &tfprotov6.SchemaObject{Attributes: inner, Nesting: nesting}
		if !a.Optional && !a.Required {
			// What is only read is read the same way from a plain object, and a mock
			// can then be given a list of several.
			to.Type, to.NestedType = to.NestedType.ValueType(), nil
		}
		out = append(out, to)
	}
	return out, nil
}

// typeOf reads a type constraint: "string", or ["list", "string"].
func typeOf(raw json.RawMessage) (tftypes.Type, error) {
	var word string
	if json.Unmarshal(raw, &word) == nil {
		t, ok := map[string]tftypes.Type{
			"string": tftypes.String, "number": tftypes.Number, "bool": tftypes.Bool, "dynamic": tftypes.DynamicPseudoType,
		}[word]
		if !ok {
			return nil, fmt.Errorf("type %q is not known", word)
		}
		return t, nil
	}
	var pair [2]json.RawMessage
	if err := json.Unmarshal(raw, &pair); err != nil {
		return nil, fmt.Errorf("type %s: %w", raw, err)
	}
	of, err := typeOf(pair[1])
	if err != nil {
		return nil, err
	}
	switch string(pair[0]) {
	case `"list"`:
		return tftypes.List{ElementType: of}, nil
	case `"set"`:
		return tftypes.Set{ElementType: of}, nil
	case `"map"`:
		return tftypes.Map{ElementType: of}, nil
	}
	return nil, fmt.Errorf("type %s is not known", raw)
}
