package route53test

import (
	"fmt"
	"net/netip"
	"strings"
)

// valid checks a set by itself, as CREATE and UPSERT do.
func (s *Server) valid(z *zone, set *Set) error {
	bad := func(format string, args ...any) error {
		return refuse("Invalid Resource Record: FATAL problem: %s (%s %s)", fmt.Sprintf(format, args...), set.Name, set.Type)
	}
	policy := policyOf(set)
	switch {
	case s.on(IdentifierLength) && (len(set.SetIdentifier) > 128 || (set.SetIdentifier == "") != (policy == "simple")):
		return bad("a set identifier of 1 to 128 characters belongs to each set that is not simple, and to no other")
	case s.on(WeightRange) && set.Weight != nil && (*set.Weight < 0 || *set.Weight > 255):
		return bad("the weight %d is not from 0 to 255", *set.Weight)
	case s.on(CNAMEApex) && set.Type == "CNAME" && set.Name == z.name:
		return refuse("RRSet of type CNAME with DNS name %s is not permitted at apex in zone %s", set.Name, z.name)
	case s.on(MultivalueOne) && policy == "multivalue" && (set.Type == "CNAME" || set.AliasTarget != nil || len(set.ResourceRecords) != 1):
		return bad("a multivalue answer has one value, and is neither CNAME nor alias")
	case set.AliasTarget != nil:
		if s.on(AliasWithoutTTL) && (set.TTL != nil || len(set.ResourceRecords) > 0) {
			return bad("an alias has neither TTL nor values")
		}
		return nil
	case s.on(TTLRange) && (set.TTL == nil || *set.TTL < 0 || *set.TTL > 1<<31-1):
		return bad("the TTL is missing or not from 0 to 2147483647")
	case len(set.ResourceRecords) == 0:
		return bad("no values")
	case set.Type == "CNAME" && len(set.ResourceRecords) > 1 && s.on(ValueFormat):
		return bad("a CNAME has one value")
	}
	seen := map[string]bool{}
	for _, v := range set.ResourceRecords {
		if s.on(ValueTwice) && seen[v.Value] {
			return bad("DuplicateResourceRecord: the value %q twice", v.Value)
		}
		seen[v.Value] = true
		if err := s.value(set.Type, v.Value); err != nil {
			return bad("%v", err)
		}
	}
	return nil
}

// value checks one value.
func (s *Server) value(typ, text string) error {
	if !s.on(ValueFormat) {
		return nil
	}
	switch typ {
	case "A", "AAAA":
		a, err := netip.ParseAddr(text)
		if err != nil || a.Is4() != (typ == "A") || a.Zone() != "" {
			return refuse("ARRDATAIllegalIPv4Address (Value is not a valid address) encountered with '%s'", text)
		}
	case "CNAME", "NS":
		if parts, err := labels(text); err != nil {
			return err
		} else if len(parts) == 0 || strings.ContainsAny(text, " \"") {
			return refuse("CNAMERRDATANotSingleField (Value is not one name) encountered with '%s'", text)
		}
	case "TXT", "SPF":
		return textValue(text)
	}
	return nil
}

// textValue checks the strings of a TXT record: each in quotes, of at most 255
// bytes, with 4,000 characters in all.
func textValue(text string) error {
	if len(text) > 4000 {
		return refuse("InvalidCharacterString (Value is too long) encountered with %d characters", len(text))
	}
	rest := text
	for {
		rest = strings.TrimLeft(rest, " ")
		if rest == "" {
			return nil
		}
		if rest[0] != '"' {
			return refuse("InvalidCharacterString (Value should be enclosed in quotation marks) encountered with '%s'", text)
		}
		n, size := 1, 0
		for n < len(rest) && rest[n] != '"' {
			switch {
			case rest[n] != '\\':
				n++
			case n+3 < len(rest) && isOctal(rest[n+1:n+4]):
				n += 4
			case n+1 < len(rest) && (rest[n+1] == '"' || rest[n+1] == '\\'):
				n += 2
			default:
				return refuse("InvalidCharacterString (Value has an escape that is none) encountered with '%s'", text)
			}
			size++
		}
		if n >= len(rest) {
			return refuse("InvalidCharacterString (Value should be enclosed in quotation marks) encountered with '%s'", text)
		}
		if size > 255 {
			return fmt.Errorf("CharacterStringTooLong (Value is too long) encountered with %d bytes", size)
		}
		rest = rest[n+1:]
		if rest != "" && rest[0] != ' ' {
			return refuse("InvalidCharacterString (Strings are not apart) encountered with '%s'", text)
		}
	}
}
