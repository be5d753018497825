package dnscheck

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/miekg/dns"
)

// maxAnswers bounds how many expected answers a config may list.
const maxAnswers = 64

// Config is what a DNS check asks the endpoint and what it expects.
type Config struct {
	// Name is the name asked for; a missing final dot is added.
	Name string `yaml:"name"`
	// Type is the record type asked for; "" is A.
	Type string `yaml:"type,omitempty"`
	// Transport is udp or tcp; "" is udp. A truncated answer over UDP is asked
	// again over TCP (RFC 7766 section 5), within the same time-out.
	Transport string `yaml:"transport,omitempty"`
	// Recursion sets the query's RD bit, for resolvers.
	Recursion bool `yaml:"recursion,omitempty"`
	// Rcode is the response code expected; "" is NOERROR.
	Rcode string `yaml:"rcode,omitempty"`
	// Answers are the records, as their data in master file form, that the
	// answer section must hold, whatever their owner and TTL; others may stand
	// beside them.
	Answers []string `yaml:"answers,omitempty"`
}

// Check reports every problem of the config by the field's key path.
func (c Config) Check(bad func(field, format string, args ...any)) {
	if _, err := c.name(); err != nil {
		bad("name", "%v", err)
	}
	if _, err := c.qtype(); err != nil {
		bad("type", "%v", err)
	}
	if !slices.Contains([]string{"", "udp", "tcp"}, c.Transport) {
		bad("transport", "%q is not a transport; expected udp or tcp", c.Transport)
	}
	if _, err := c.rcode(); err != nil {
		bad("rcode", "%v", err)
	}
	if len(c.Answers) > maxAnswers {
		bad("answers", "%d answers; expected at most %d", len(c.Answers), maxAnswers)
	}
	for i := range c.Answers {
		if _, err := c.answer(i); err != nil {
			bad("answers["+strconv.Itoa(i)+"]", "%v", err)
		}
	}
}

func (c Config) name() (string, error) {
	if c.Name == "" {
		return "", fmt.Errorf("the name is empty; expected a domain name such as example.test, or . for the root")
	}
	if _, ok := dns.IsDomainName(c.Name); !ok {
		return "", fmt.Errorf("%q is not a domain name; expected labels of at most 63 bytes, 255 in all", c.Name)
	}
	return dns.Fqdn(c.Name), nil
}

func (c Config) qtype() (uint16, error) {
	if c.Type == "" {
		return dns.TypeA, nil
	}
	t, ok := dns.StringToType[strings.ToUpper(c.Type)]
	if !ok || t == dns.TypeAXFR || t == dns.TypeIXFR || t == dns.TypeOPT || t == dns.TypeNone {
		return 0, fmt.Errorf("%q is not a record type that can be asked for; expected A, AAAA, SOA, TXT or another", c.Type)
	}
	return t, nil
}

func (c Config) rcode() (int, error) {
	if c.Rcode == "" {
		return dns.RcodeSuccess, nil
	}
	code, ok := dns.StringToRcode[strings.ToUpper(c.Rcode)]
	if !ok || code > 0xF {
		return 0, fmt.Errorf("%q is not a response code; expected NOERROR, NXDOMAIN, REFUSED or another of RFC 1035 and RFC 2136", c.Rcode)
	}
	return code, nil
}

// answer parses the expected answer i as the data of a record of the type
// asked for.
func (c Config) answer(i int) (dns.RR, error) {
	qtype, err := c.qtype()
	if err != nil {
		return nil, fmt.Errorf("cannot be read while the type is wrong")
	}
	text := c.Answers[i]
	if strings.ContainsAny(text, "\n\r") {
		return nil, fmt.Errorf("%q holds a line end; expected one record's data", text)
	}
	rr, err := dns.NewRR(". 0 IN " + dns.TypeToString[qtype] + " " + text)
	if err != nil || rr == nil {
		return nil, fmt.Errorf("%q is not the data of a record of type %s", text, dns.TypeToString[qtype])
	}
	return rr, nil
}
