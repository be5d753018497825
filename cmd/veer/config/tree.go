package config

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Limits of one file.
const (
	maxFile  = 1 << 20
	maxDepth = 24
)

type shape uint8

const (
	scalar shape = iota
	mapping
	sequence
)

// node is one value of a YAML file, with its place. Only what a configuration
// needs exists here: anchors, aliases, merge keys and tags are refused.
type node struct {
	shape        shape
	text         string // of a scalar
	quoted       bool   // of a scalar: quoted, or a block
	line, column int
	pairs        []pair  // of a mapping
	items        []*node // of a sequence
}

type pair struct{ key, value *node }

// get returns the value of a key, or nil.
func (n *node) get(key string) *node {
	if p := n.pair(key); p != nil {
		return p.value
	}
	return nil
}

func (n *node) pair(key string) *pair {
	if n == nil {
		return nil
	}
	for i := range n.pairs {
		if n.pairs[i].key.text == key {
			return &n.pairs[i]
		}
	}
	return nil
}

// parse makes the tree of a file, or reports why it cannot. An empty file is
// an empty mapping.
func parse(src *source, text string) *node {
	before := len(*src.errs)
	text = strings.TrimPrefix(text, "\ufeff")
	if scan(src, text); len(*src.errs) > before {
		return nil
	}
	tokens := lexer.Tokenize(text)
	if deep := tooDeep(tokens); deep != nil {
		src.bad(deep.Position.Line, deep.Position.Column, Error{
			Problem:  "the values are nested too deeply",
			Expected: fmt.Sprintf("at most %d levels", maxDepth),
		})
		return nil
	}
	file, err := parseTokens(tokens)
	if err != nil {
		syntax(src, err)
		return nil
	}
	b := builder{src}
	root := b.document(file)
	if len(*src.errs) > before {
		return nil
	}
	return root
}

// parseTokens calls the parser, whose faults must not end the daemon: a panic
// on some odd file is an error like any other.
func parseTokens(tokens token.Tokens) (file *ast.File, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the parser failed: %v", r)
		}
	}()
	return parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
}

// syntax reports what the parser says.
func syntax(src *source, err error) {
	line, column, message := 1, 1, err.Error()
	var s *yaml.SyntaxError
	if errors.As(err, &s) {
		message = s.Message
		if s.Token != nil && s.Token.Position != nil {
			line, column = s.Token.Position.Line, s.Token.Position.Column
		}
	}
	problem, expected := plainly(message)
	src.bad(line, column, Error{
		Problem:  problem,
		Expected: expected,
		Hint:     "the cause may be on the line above or below: look at quotes, brackets, colons and indentation",
	})
}

// plainly says in plain words what the parser's message means.
func plainly(message string) (problem, expected string) {
	for _, known := range []struct{ part, problem, expected string }{
		{"mapping value is not allowed", "found a key and a value where none can be", "keys of one mapping in one column, and a value with \": \" in quotes"},
		{"value is not allowed in this context", "found something that belongs to no key", "keys of one mapping in one column, and one value for each"},
		{"non-map value is specified", "found no key", "a key followed by a colon and a value"},
		{"unexpected key name", "found a word that is no key", "a key followed by a colon, a space and a value"},
		{"could not find end character of", "found a quote that is never closed", "a closing quote"},
		{"sequence end token ']' not found", "found a list that is never closed", "a closing ]"},
		{"',' or ']' must be specified", "found a list that is not closed before this", "a comma or a closing ]"},
		{"',' or '}' must be specified", "found a mapping in braces that is not closed before this", "a comma or a closing }"},
		{"flow map end token '}' not found", "found a mapping in braces that is never closed", "a closing }"},
		{"is a reserved character", "found a character that YAML reserves", "a value that begins with another one, or quotes around it"},
		{"tab character", "found a tab before a key", "spaces"},
	} {
		if strings.Contains(message, known.part) {
			return known.problem, known.expected
		}
	}
	return "not valid YAML: " + message, "YAML 1.2"
}

// scan refuses what no configuration holds, before the parser sees it.
func scan(src *source, text string) {
	if len(text) > maxFile {
		src.bad(1, 1, Error{Problem: fmt.Sprintf("the file has %d bytes", len(text)), Expected: fmt.Sprintf("at most %d", maxFile)})
		return
	}
	for i, line := range strings.Split(text, "\n") {
		if before := line[:indent(line)]; strings.Contains(before, "\t") && strings.TrimSpace(line) != "" {
			src.bad(i+1, strings.Index(before, "\t")+1, Error{Problem: "found a tab in the indentation", Expected: "spaces"})
			continue
		}
		column := 0
		for at, r := range strings.TrimSuffix(line, "\r") {
			column++
			if r == utf8.RuneError && !utf8.ValidString(line[at:min(len(line), at+3)]) {
				src.bad(i+1, column, Error{Problem: "found a byte that is not UTF-8", Expected: "a text file in UTF-8"})
				break
			}
			if !allowed(r) {
				src.bad(i+1, column, Error{Problem: fmt.Sprintf("found the control character %U", r), Expected: "plain text"})
				break
			}
		}
	}
}

// tooDeep returns the token at which the nesting exceeds the limit. It looks
// at tokens, since the parser itself is recursive.
func tooDeep(tokens token.Tokens) *token.Token {
	flow, line, starts := 0, 0, 0
	var columns []int
	for _, t := range tokens {
		if t.Position.Line != line {
			line, starts = t.Position.Line, 0
			for len(columns) > 0 && columns[len(columns)-1] >= t.Position.Column {
				columns = columns[:len(columns)-1]
			}
			columns = append(columns, t.Position.Column)
		}
		switch t.Type {
		case token.SequenceStartType, token.MappingStartType:
			flow++
		case token.SequenceEndType, token.MappingEndType:
			flow = max(flow-1, 0)
		case token.SequenceEntryType, token.MappingKeyType, token.AnchorType, token.TagType:
			starts++
		}
		if flow+starts+len(columns) > maxDepth {
			return t
		}
	}
	return nil
}

// builder turns the parser's tree into nodes.
type builder struct{ src *source }

func (b builder) document(file *ast.File) *node {
	var root *node
	for _, doc := range file.Docs {
		if doc.Body == nil {
			continue
		}
		if _, ok := doc.Body.(*ast.DirectiveNode); ok {
			b.refuse(doc.Body, "found a YAML directive", "the configuration alone, without a line that begins with %")
			return nil
		}
		body := b.value(doc.Body)
		if root != nil {
			b.src.bad(body.line, body.column, Error{Problem: "found a second document", Expected: "one document in a file"})
			return nil
		}
		if root = body; root.shape != mapping {
			b.src.bad(root.line, root.column, Error{Problem: "found " + root.describe(), Expected: "keys, such as owner: and services:"})
			return nil
		}
	}
	if root == nil {
		root = &node{shape: mapping, line: 1, column: 1}
	}
	return root
}

func (b builder) refuse(n ast.Node, found, expected string) *node {
	at := n.GetToken().Position
	b.src.bad(at.Line, at.Column, Error{Problem: found, Expected: expected})
	return &node{line: at.Line, column: at.Column}
}

func (b builder) value(n ast.Node) *node {
	at := n.GetToken().Position
	out := &node{line: at.Line, column: at.Column}
	switch v := n.(type) {
	case *ast.MappingNode:
		return b.mapping(v)
	case *ast.MappingValueNode:
		return b.mapping(&ast.MappingNode{BaseNode: v.BaseNode, Start: v.Start, Values: []*ast.MappingValueNode{v}})
	case *ast.SequenceNode:
		out.shape = sequence
		for _, item := range v.Values {
			out.items = append(out.items, b.value(item))
		}
	case *ast.LiteralNode:
		out.text, out.quoted = v.Value.Value, true
	case *ast.StringNode:
		kind := v.Token.Type
		out.text, out.quoted = v.Value, kind == token.DoubleQuoteType || kind == token.SingleQuoteType
	case *ast.AnchorNode:
		return b.refuse(n, "found an anchor (&)", "the value itself: anchors and aliases are not used here")
	case *ast.AliasNode:
		return b.refuse(n, "found an alias (*)", "the value itself: anchors and aliases are not used here")
	case *ast.TagNode:
		return b.refuse(n, "found a tag (!)", "the value alone: its type follows from the key")
	case *ast.NullNode:
		out.text = ""
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		out.text = n.GetToken().Value
	default:
		return b.refuse(n, "found "+strings.ToLower(n.Type().String()), "a value")
	}
	return out
}

func (b builder) mapping(v *ast.MappingNode) *node {
	out := &node{shape: mapping}
	at := v.GetToken().Position
	out.line, out.column = at.Line, at.Column
	for i, value := range v.Values {
		key := b.key(value.Key)
		if i == 0 && !v.IsFlowStyle {
			out.line, out.column = key.line, key.column
		}
		if first := out.pair(key.text); first != nil {
			b.src.bad(key.line, key.column, Error{
				Problem:  fmt.Sprintf("%s is given twice, first on line %d", quote(key.text), first.key.line),
				Expected: "each key once",
			})
			continue
		}
		out.pairs = append(out.pairs, pair{key, b.value(value.Value)})
	}
	return out
}

func (b builder) key(n ast.MapKeyNode) *node {
	switch v := n.(type) {
	case *ast.MergeKeyNode:
		return b.refuse(n, "found a merge key (<<)", "the keys themselves: merging is not used here")
	case *ast.MappingKeyNode:
		return b.refuse(n, "found a complex key (?)", "a plain key, like name:")
	case *ast.StringNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.NullNode, *ast.InfinityNode, *ast.NanNode:
		key := b.value(v)
		if key.form() != formText {
			b.src.bad(key.line, key.column, Error{Problem: "found " + key.describe() + " as a key", Expected: "a word; put it in quotes if it is one"})
		}
		return key
	}
	return b.refuse(n, "found "+strings.ToLower(n.Type().String())+" as a key", "a word")
}
