package config

import (
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// form is what a scalar looks like. YAML's versions disagree on many plain
// words; those are told apart here so that they can be refused clearly.
type form uint8

const (
	formText form = iota
	formNothing
	formBool
	formInt
	formNumber    // a number in a notation that is not plain decimal
	formAmbiguous // yes, no, on, off: true or false to some readers, text to others
	formDate
)

func (n *node) form() form {
	if n.shape != scalar || n.quoted {
		return formText
	}
	switch strings.ToLower(n.text) {
	case "", "~", "null":
		return formNothing
	case "true", "false":
		if n.text == "true" || n.text == "false" {
			return formBool
		}
		return formAmbiguous
	case "yes", "no", "on", "off", "y", "n":
		return formAmbiguous
	}
	switch first := n.text[0]; {
	case first == '-' || first == '+' || first == '.' || '0' <= first && first <= '9':
		return numeric(n.text)
	}
	return formText
}

// The patterns of plain scalars that begin like a number.
var (
	plainInt   = regexp.MustCompile(`^(0|-?[1-9][0-9]*)$`)
	plainDate  = regexp.MustCompile(`^[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt ].*)?$`)
	oddNumeric = regexp.MustCompile(`^[-+]?([0-9][0-9_]*|0[xob][0-9a-fA-F_]*|[0-9]*\.[0-9]*([eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+|\.(inf|Inf|INF|nan|NaN|NAN))$`)
)

func numeric(text string) form {
	switch {
	case plainInt.MatchString(text):
		return formInt
	case plainDate.MatchString(text):
		return formDate
	case oddNumeric.MatchString(text):
		return formNumber
	}
	return formText
}

// describe says what was found, in words.
func (n *node) describe() string {
	switch n.shape {
	case mapping:
		return "keys and values"
	case sequence:
		return "a list"
	}
	switch n.form() {
	case formNothing:
		return "nothing"
	case formBool:
		return n.text
	case formInt:
		return "the number " + short(n.text)
	case formNumber:
		return "the number " + short(n.text) + " in an unusual notation"
	case formAmbiguous:
		return n.text + " without quotes, which some YAML readers take for true or false"
	case formDate:
		return "the date " + short(n.text)
	}
	return quote(n.text)
}

// quote quotes a text and cuts a long one.
func quote(text string) string { return strconv.Quote(short(text)) }

func short(text string) string {
	const limit = 60
	if len(text) <= limit {
		return text
	}
	cut := limit
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "…"
}
