// Package bindings reads the schema of a Terraform resource out of the
// TypeScript that cdktf's generator wrote for it. The generator writes every
// attribute in one of a few fixed forms; what has another form is an error, so
// that nothing is guessed.
package bindings

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"github.com/veerdns/veer/terraform/internal/schemas"
)

var (
	sourceMap = regexp.MustCompile(`(?m)^//# sourceMappingURL=data:application/json;base64,([A-Za-z0-9+/=]+)\s*$`)
	classLine = regexp.MustCompile(`^export class (\w+) extends cdktf\.(\w+)`)
	faceLine  = regexp.MustCompile(`^export interface (\w+)`)
	flagLine  = regexp.MustCompile(`^\s*// (\w+) - computed: (true|false), optional: (true|false), required: (true|false)$`)
	blockLine = regexp.MustCompile(`^\s*\* (\w+) block$`)
	nestLine  = regexp.MustCompile(`^\s*private _\w+ = new (\w+?)(List|Map|OutputReference)\(this, "(\w+)"(?:, (true|false))?\);`)
	mapLine   = regexp.MustCompile(`^\s*private _\w+ = new cdktf\.(String|Number|Boolean|Any)Map\(this, "(\w+)"\);`)
	getLine   = regexp.MustCompile(`^\s*return (?:cdktf\.Fn\.(tolist)\()?this\.get(\w+)Attribute\('(\w+)'\)`)
	fieldLine = regexp.MustCompile(`^\s*private _\w+\?: ([^;]+);`)
	hclLine   = regexp.MustCompile(`^export function (\w+)ToHclTerraform\(`)
	hclName   = regexp.MustCompile(`^\s*(\w+): \{$`)
	hclType   = regexp.MustCompile(`^\s*type: "(\w+)",$`)
	versions  = regexp.MustCompile(`providerVersion: '([^']+)'`)
)

// Source takes the TypeScript out of the source map at the end of a compiled
// file.
func Source(js []byte) (string, error) {
	m := sourceMap.FindSubmatch(js)
	if m == nil {
		return "", fmt.Errorf("no source map is in the file")
	}
	raw, err := base64.StdEncoding.DecodeString(string(m[1]))
	if err != nil {
		return "", fmt.Errorf("source map: %w", err)
	}
	var content struct {
		SourcesContent []string `json:"sourcesContent"`
	}
	if err := json.Unmarshal(raw, &content); err != nil {
		return "", fmt.Errorf("source map: %w", err)
	}
	if len(content.SourcesContent) != 1 {
		return "", fmt.Errorf("source map: found %d sources, expected 1", len(content.SourcesContent))
	}
	return content.SourcesContent[0], nil
}

// Version is the provider's version that the file was made from.
func Version(source string) (string, error) {
	m := versions.FindStringSubmatch(source)
	if m == nil {
		return "", fmt.Errorf("no providerVersion is in the file")
	}
	return m[1], nil
}

// attribute is what a class says of one of them.
type attribute struct {
	name                         string
	computed, optional, required bool
	typ                          string // a type constraint in JSON
	child, form                  string // a class's stem, and List, Map or OutputReference
	set                          bool
	field                        string // the private field's type
}

// class is one class of the file.
type class struct {
	stem, base string
	attributes []*attribute
	hcl        map[string]string // what each attribute is synthesized as
}

type file struct {
	classes map[string]*class
	blocks  map[string]bool // "Stem.name" of what is documented as a block
}

// Read returns the schema of the one resource, data source or provider in the
// TypeScript.
func Read(source string) (schemas.Block, error) {
	f, err := parse(source)
	if err != nil {
		return schemas.Block{}, err
	}
	for _, c := range f.classes {
		switch c.base {
		case "TerraformResource", "TerraformDataSource":
			return f.block(c, c.stem+"Config", 0)
		case "TerraformProvider":
			return f.config(c)
		}
	}
	return schemas.Block{}, fmt.Errorf("no resource, data source or provider is in the file")
}

func parse(source string) (*file, error) {
	f := &file{classes: map[string]*class{}, blocks: map[string]bool{}}
	hcl := map[string]map[string]string{}
	var in *class
	var at *attribute
	var face, block, scope, name string
	lines := bufio.NewScanner(strings.NewReader(source))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		switch {
		case faceLine.MatchString(line):
			face, in, at = faceLine.FindStringSubmatch(line)[1], nil, nil
		case hclLine.MatchString(line):
			scope = hclLine.FindStringSubmatch(line)[1]
			hcl[scope] = map[string]string{}
		case classLine.MatchString(line):
			m := classLine.FindStringSubmatch(line)
			stem := strings.TrimSuffix(m[1], "OutputReference")
			in, at, face = &class{stem: stem, base: m[2]}, nil, ""
			scope = lowerFirst(stem)
			if m[2] != "ComplexList" && m[2] != "ComplexMap" {
				f.classes[stem] = in
			}
			if hcl[scope] == nil {
				hcl[scope] = map[string]string{}
			}
			in.hcl = hcl[scope]
		case face != "" && blockLine.MatchString(line):
			block = blockLine.FindStringSubmatch(line)[1]
			f.blocks[face+"."+block] = true
		case in != nil && flagLine.MatchString(line):
			m := flagLine.FindStringSubmatch(line)
			at = &attribute{name: m[1], computed: m[2] == "true", optional: m[3] == "true", required: m[4] == "true"}
			in.attributes = append(in.attributes, at)
		case at != nil && at.name != "" && detail(at, line):
		case scope != "" && hclName.MatchString(line):
			name = hclName.FindStringSubmatch(line)[1]
		case scope != "" && name != "" && hclType.MatchString(line):
			hcl[scope][name] = hclType.FindStringSubmatch(line)[1]
			name = ""
		}
	}
	return f, lines.Err()
}

func lowerFirst(s string) string {
	if s == "" {
		return s
	}
	return strings.ToLower(s[:1]) + s[1:]
}

// detail takes what a line tells of the attribute's type.
func detail(at *attribute, line string) bool {
	if m := nestLine.FindStringSubmatch(line); m != nil && m[3] == at.name {
		at.child, at.form, at.set = m[1], m[2], m[4] == "true"
		return true
	}
	if m := mapLine.FindStringSubmatch(line); m != nil && m[2] == at.name {
		at.typ = `["map",` + element(m[1]) + `]`
		return true
	}
	if m := fieldLine.FindStringSubmatch(line); m != nil && at.field == "" {
		at.field = strings.TrimSuffix(m[1], " | cdktf.IResolvable")
		return true
	}
	m := getLine.FindStringSubmatch(line)
	if m == nil || m[3] != at.name {
		return false
	}
	switch kind := m[2]; kind {
	case "String", "Number", "Boolean":
		at.typ = element(kind)
	case "List", "NumberList":
		of, form := element(strings.TrimSuffix(kind, "List")), "list"
		if m[1] == "tolist" {
			form = "set"
		}
		at.typ = `["` + form + `",` + of + `]`
	case "StringMap", "NumberMap", "BooleanMap":
		at.typ = `["map",` + element(strings.TrimSuffix(kind, "Map")) + `]`
	}
	return true
}

// element is the type constraint for a word of the generator.
func element(word string) string {
	switch word {
	case "Number":
		return `"number"`
	case "Boolean":
		return `"bool"`
	case "Any":
		return `"dynamic"`
	}
	return `"string"` // String, and List without more
}

// block is the schema of a class that is a resource or a block. face is the
// interface that documents it.
func (f *file) block(c *class, face string, depth int) (schemas.Block, error) {
	b := schemas.Block{Attributes: map[string]schemas.Attribute{}, Blocks: map[string]schemas.Nested{}}
	if depth > 12 {
		return b, fmt.Errorf("%s: nested too deep", c.stem)
	}
	for _, at := range c.attributes {
		if at.child != "" && f.blocks[face+"."+at.name] {
			nested, err := f.nested(c, at, depth)
			if err != nil {
				return b, fmt.Errorf("%s.%s: %w", c.stem, at.name, err)
			}
			b.Blocks[at.name] = nested
			continue
		}
		a, err := f.attribute(at, depth)
		if err != nil {
			return b, fmt.Errorf("%s.%s: %w", c.stem, at.name, err)
		}
		b.Attributes[at.name] = a
	}
	return b, nil
}

func (f *file) nested(c *class, at *attribute, depth int) (schemas.Nested, error) {
	child := f.classes[at.child]
	if child == nil {
		return schemas.Nested{}, fmt.Errorf("its class %s is not in the file", at.child)
	}
	block, err := f.block(child, at.child, depth+1)
	if err != nil {
		return schemas.Nested{}, err
	}
	n := schemas.Nested{Block: block}
	if at.required {
		n.Min = 1
	}
	switch {
	case at.form == "List" && at.set:
		n.Nesting = "set"
	case at.form == "List":
		n.Nesting = "list"
	case at.form == "OutputReference":
		// At most one: the generator leaves the list out. How it is synthesized
		// tells what it was.
		switch c.hcl[at.name] {
		case "struct":
			n.Nesting = "single"
		case "list", "set":
			n.Nesting, n.Max = c.hcl[at.name], 1
		default:
			return n, fmt.Errorf("found %q as its nesting, expected struct, list or set", c.hcl[at.name])
		}
	default:
		return n, fmt.Errorf("a block of form %s is not known", at.form)
	}
	if n.Nesting == "single" && at.required {
		n.Max = 1
	}
	return n, nil
}

func (f *file) attribute(at *attribute, depth int) (schemas.Attribute, error) {
	a := schemas.Attribute{
		Required: at.required, Optional: at.optional, Computed: at.computed,
		WriteOnly: at.optional && strings.HasSuffix(at.name, "_wo"),
	}
	if at.child == "" {
		if at.typ == "" {
			return a, fmt.Errorf("its type is written in a form that is not known")
		}
		a.Type = json.RawMessage(at.typ)
		return a, nil
	}
	child := f.classes[at.child]
	if child == nil {
		return a, fmt.Errorf("its class %s is not in the file", at.child)
	}
	block, err := f.block(child, at.child, depth+1)
	if err != nil {
		return a, err
	}
	if len(block.Blocks) > 0 {
		return a, fmt.Errorf("it is an attribute with blocks in it")
	}
	nesting := map[string]string{"List": "list", "Map": "map", "OutputReference": "single"}[at.form]
	if at.form == "List" && at.set {
		nesting = "set"
	}
	a.Nested = &schemas.Object{Attributes: block.Attributes, Nesting: nesting}
	return a, nil
}

// config is a provider's own configuration, without its nested blocks.
func (f *file) config(c *class) (schemas.Block, error) {
	b := schemas.Block{Attributes: map[string]schemas.Attribute{}}
	for _, at := range c.attributes {
		typ := map[string]string{"string": `"string"`, "number": `"number"`, "boolean": `"bool"`, "string[]": `["set","string"]`}[at.field]
		if typ == "" || at.computed || at.name == "alias" { // alias is a meta-argument
			continue
		}
		if at.field == "string[]" && c.hcl[at.name] == "list" {
			typ = `["list","string"]`
		}
		b.Attributes[at.name] = schemas.Attribute{Type: json.RawMessage(typ), Required: at.required, Optional: at.optional}
	}
	if len(b.Attributes) == 0 {
		return b, fmt.Errorf("%s: no attribute was found", c.stem)
	}
	return b, nil
}
