package route53

import (
	"errors"
	"fmt"
	"strings"

	"github.com/veerdns/veer/providers"
)

// maxName and maxText bound what is converted: the API's own limits for a name
// (255 octets, each up to four characters) and for one value (4,000
// characters; https://docs.aws.amazon.com/Route53/latest/APIReference/API_ResourceRecord.html).
const (
	maxName = 4 * 256
	maxText = 4000
)

// fromAPI turns a name as the API writes it into the canonical form. The API
// writes letters in lower case, and any byte but a-z, 0-9, - and _ as a
// backslash and three octal digits
// (https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/DomainNameFormat.html).
func fromAPI(name string) (string, error) {
	if name == "" || len(name) > maxName {
		return "", fmt.Errorf("%.40q is not a domain name", name)
	}
	text, err := octalToDecimal(name)
	if err != nil {
		return "", fmt.Errorf("the name %.300q: %w", name, err)
	}
	return providers.CanonicalName(text), nil
}

// toAPI turns a canonical name into the API's form, with the final dot. An
// asterisk that is a whole first label is written as it is, for it to be a
// wildcard.
func toAPI(name string) string {
	rest, wild := strings.CutPrefix(name, "*.")
	text := normalized(rest)
	if wild {
		return "*." + text
	}
	return text
}

// normalized writes each byte but a-z, 0-9, -, _ and the dots between labels as
// an octal escape.
func normalized(name string) string {
	var b strings.Builder
	b.Grow(len(name))
	for i := 0; i < len(name); i++ {
		c := name[i]
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_', c == '.':
			b.WriteByte(c)
			continue
		case c == '\\' && i+1 < len(name):
			var size int
			c, size = escape(name[i+1:])
			i += size
		}
		fmt.Fprintf(&b, `\%03o`, c)
	}
	return b.String()
}

// escape reads what follows a backslash in presentation form (RFC 1035, 5.1).
func escape(text string) (c byte, size int) {
	if len(text) >= 3 && isDigit(text[0]) && isDigit(text[1]) && isDigit(text[2]) {
		if n := int(text[0]-'0')*100 + int(text[1]-'0')*10 + int(text[2]-'0'); n < 256 {
			return byte(n), 3
		}
	}
	return text[0], 1
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// octalToDecimal rewrites the API's escapes, \ and three octal digits, as those
// of RFC 1035, \ and three decimal digits. A backslash before anything else
// stays as it is.
func octalToDecimal(text string) (string, error) {
	if strings.IndexByte(text, '\\') < 0 {
		return text, nil
	}
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			b.WriteByte(text[i])
			continue
		}
		if i+1 == len(text) {
			return "", errors.New("it ends in a backslash")
		}
		n, ok := octal(text[i+1:])
		switch {
		case ok:
			fmt.Fprintf(&b, `\%03d`, n)
			i += 3
		case isDigit(text[i+1]):
			return "", errors.New("a backslash and a digit are not an octal escape")
		default:
			b.WriteString(text[i : i+2])
			i++
		}
	}
	return b.String(), nil
}

// octal reads three octal digits.
func octal(text string) (byte, bool) {
	if len(text) < 3 {
		return 0, false
	}
	n := 0
	for i := range 3 {
		if text[i] < '0' || text[i] > '7' {
			return 0, false
		}
		n = 8*n + int(text[i]-'0')
	}
	return byte(n), n < 256
}

// textFromAPI turns the value of a TXT record into RFC 1035's presentation
// form. The API takes several strings in quotes, with quotes and backslashes
// escaped, and other bytes as octal escapes
// (https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/ResourceRecordTypes.html#TXTFormat).
func textFromAPI(value string) (string, error) {
	if len(value) > maxText {
		return "", fmt.Errorf("a text of %d characters; the API holds at most %d", len(value), maxText)
	}
	text, err := octalToDecimal(value)
	if err != nil {
		return "", fmt.Errorf("the text %.300q: %w", value, err)
	}
	return text, nil
}

// textToAPI turns presentation form into the API's: decimal escapes become
// octal ones.
func textToAPI(data string) string {
	var b strings.Builder
	b.Grow(len(data))
	for i := 0; i < len(data); i++ {
		c := data[i]
		if c != '\\' || i+1 == len(data) {
			b.WriteByte(c)
			continue
		}
		c, size := escape(data[i+1:])
		i += size
		switch {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c <= ' ' || c > '~': // a space, too: outside of quotes it would part strings
			fmt.Fprintf(&b, `\%03o`, c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}
