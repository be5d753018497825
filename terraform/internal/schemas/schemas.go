// Package schemas keeps the schemas of the Terraform providers that Veer's
// modules use, reduced to the types in use, and says where they come from.
//
// They are what the bindings of @cdktf/provider-* tell: names, types, nesting,
// and what is required, optional or computed. They do not tell which arguments
// are sensitive or exclude one another, what values the provider accepts, nor the
// nested blocks of the provider's own configuration. The bindings do not mark
// write-only arguments; those are known by the suffix _wo, which the AWS provider
// gives to all of its own and to nothing else.
package schemas

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
)

// Provider is the kept part of one provider's schema.
type Provider struct {
	Source      Source           `json:"source"`
	Config      Block            `json:"provider"`
	Resources   map[string]Block `json:"resource_schemas,omitempty"`
	DataSources map[string]Block `json:"data_source_schemas,omitempty"`
}

// Source is where a schema comes from.
type Source struct {
	// Address is the provider's, such as hashicorp/aws; Version the one that the
	// bindings were made from.
	Address string `json:"address"`
	Version string `json:"version"`
	// Package is the npm package, pinned by the SHA-512 of its tarball.
	Package        string `json:"package"`
	PackageVersion string `json:"package_version"`
	Integrity      string `json:"integrity"`
	Licence        string `json:"licence"`
}

// Block is a resource, a data source, or a block in one.
type Block struct {
	Attributes map[string]Attribute `json:"attributes,omitempty"`
	Blocks     map[string]Nested    `json:"block_types,omitempty"`
}

// Attribute is one argument, or one exported value.
type Attribute struct {
	// Type is a type constraint as Terraform writes it in JSON; absent with Nested.
	Type      json.RawMessage `json:"type,omitempty"`
	Nested    *Object         `json:"nested_type,omitempty"`
	Required  bool            `json:"required,omitempty"`
	Optional  bool            `json:"optional,omitempty"`
	Computed  bool            `json:"computed,omitempty"`
	WriteOnly bool            `json:"write_only,omitempty"`
}

// Object is the type of an attribute that is written like a block.
type Object struct {
	Attributes map[string]Attribute `json:"attributes"`
	Nesting    string               `json:"nesting_mode"` // single, list, set, map
}

// Nested is a block in a block.
type Nested struct {
	Nesting string `json:"nesting_mode"` // single, list, set
	Block   Block  `json:"block"`
	Min     int64  `json:"min_items,omitempty"`
	Max     int64  `json:"max_items,omitempty"`
}

//go:embed aws.json cloudflare.json
var files embed.FS

// Names are the providers there are.
func Names() []string { return []string{"aws", "cloudflare"} }

// Load returns a provider's schema by its name.
func Load(name string) (*Provider, error) {
	data, err := files.ReadFile(name + ".json")
	if err != nil {
		return nil, fmt.Errorf("schema of provider %s: %w", name, err)
	}
	var p Provider
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&p); err != nil {
		return nil, fmt.Errorf("schema of provider %s: %w", name, err)
	}
	return &p, nil
}
