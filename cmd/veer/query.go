package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"github.com/miekg/dns"
	"github.com/spf13/cobra"
)

// reply is what a query got, and what -o json prints.
type reply struct {
	Server string `json:"server"`
	// Transport is udp or tcp; a truncated UDP reply is asked again over TCP.
	Transport string        `json:"transport"`
	Took      time.Duration `json:"took"`
	Rcode     string        `json:"rcode"`
	Flags     []string      `json:"flags"`
	Question  string        `json:"question"`
	// The sections hold records in presentation form.
	Answer     []string `json:"answer"`
	Authority  []string `json:"authority"`
	Additional []string `json:"additional"`
	// Client is the network asked for, Scope that for which the reply holds.
	Client string  `json:"client,omitempty"`
	Scope  *string `json:"scope,omitempty"`
}

// clientSubnet makes the option that asks for a client; nil for an empty text.
func clientSubnet(text string) (*dns.EDNS0_SUBNET, error) {
	if text == "" {
		return nil, nil
	}
	network, err := netip.ParsePrefix(text)
	if a, errIP := netip.ParseAddr(text); errIP == nil && a.Zone() == "" {
		network, err = netip.PrefixFrom(a, a.BitLen()), nil
	}
	if err != nil || network.Addr().Is4In6() {
		return nil, fmt.Errorf("--client %q: expected an IP address or a network, as in 203.0.113.7 or 2001:db8::/56", text)
	}
	network = network.Masked()
	out := &dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: uint8(network.Bits()), Address: network.Addr().AsSlice()} // #nosec G115 -- at most 128
	if network.Addr().Is6() {
		out.Family = 2
	}
	return out, nil
}

// scopeOf is the network for which a reply holds, "" where it does not say.
func scopeOf(in *dns.Msg, asked *dns.EDNS0_SUBNET) string {
	opt := in.IsEdns0()
	if opt == nil {
		return ""
	}
	for _, o := range opt.Option {
		if s, ok := o.(*dns.EDNS0_SUBNET); ok {
			a, _ := netip.AddrFromSlice(asked.Address)
			if n, err := a.Prefix(int(s.SourceScope)); err == nil {
				return n.String()
			}
		}
	}
	return ""
}

func (a *app) queryCommand() *cobra.Command {
	var server, client string
	var tcp bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "query NAME [TYPE]",
		Short: "Ask the authority directly over DNS",
		Long: `Query sends one DNS question to the embedded authority (the first address in the
config's listen:, or --server) and prints the reply in full. TYPE defaults to A.
It needs no resolver and no dig. It exits with 1 when there is no reply.

With --client it asks as that client's resolver would (EDNS client subnet, RFC
7871), for an IP address or a network, and says for which network the reply
holds. The authority believes it where its ecs.trust has this host's address.

-o json prints {server, transport, took, rcode, flags, question, answer,
authority, additional, client, scope}; client and scope with --client only, and
scope where the server believes this host.`,
		Example: "  veer query app.example.test\n  veer query app.example.test --client 203.0.113.7\n  veer query app.example.test AAAA --tcp\n  veer query app.example.test --server 127.0.0.1:5300",
		Args:    a.args("NAME", "[TYPE]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			question, err := parseQuestion(args)
			if err != nil {
				return usage(err)
			}
			if timeout < time.Millisecond || timeout > time.Minute {
				return usagef("--timeout %s: expected 1ms to 1m", timeout)
			}
			if server == "" {
				if server, err = a.authorityAddress(); err != nil {
					return err
				}
			}
			if server, err = serverAddress(server); err != nil {
				return usage(err)
			}
			subnet, err := clientSubnet(client)
			if err != nil {
				return usage(err)
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			defer cancel()
			r, err := ask(ctx, server, question, tcp, subnet)
			if err != nil {
				return err
			}
			return a.print(r, func(w io.Writer) { writeReply(w, r) })
		},
	}
	cmd.Flags().StringVarP(&server, "server", "s", "", "address to ask, as IP:PORT or IP (default: the config's listen:)")
	cmd.Flags().StringVar(&client, "client", "", "ask for the client with this IP address, or in this network")
	cmd.Flags().BoolVar(&tcp, "tcp", false, "ask over TCP")
	cmd.Flags().DurationVar(&timeout, "timeout", 3*time.Second, "how long to wait for the reply in all")
	return cmd
}

func parseQuestion(args []string) (dns.Question, error) {
	q := dns.Question{Name: dns.Fqdn(args[0]), Qtype: dns.TypeA, Qclass: dns.ClassINET}
	if _, ok := dns.IsDomainName(q.Name); !ok || args[0] == "" {
		return q, fmt.Errorf("%q is not a domain name", args[0])
	}
	if len(args) < 2 {
		return q, nil
	}
	typ := strings.ToUpper(args[1])
	number, ok := dns.StringToType[typ]
	if !ok {
		if _, err := fmt.Sscanf(typ, "TYPE%d", &number); err != nil || typ != fmt.Sprintf("TYPE%d", number) {
			return q, fmt.Errorf("type %q: expected a record type like A, AAAA, SOA or TYPE65", args[1])
		}
	}
	q.Qtype = number
	return q, nil
}

// serverAddress completes an address with port 53, and one that means all
// addresses with the loopback one.
func serverAddress(text string) (string, error) {
	at, err := netip.ParseAddrPort(text)
	if err != nil {
		ip, errIP := netip.ParseAddr(strings.Trim(text, "[]"))
		if errIP != nil {
			return "", fmt.Errorf("server %q: expected IP:PORT or IP, as in 127.0.0.1:5300 or [::1]:5300", text)
		}
		at = netip.AddrPortFrom(ip, 53)
	}
	switch {
	case at.Port() == 0:
		return "", fmt.Errorf("server %q: port 0 cannot be asked; give the port with --server", text)
	case at.Addr() == netip.IPv4Unspecified():
		at = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), at.Port())
	case at.Addr() == netip.IPv6Unspecified():
		at = netip.AddrPortFrom(netip.IPv6Loopback(), at.Port())
	}
	return at.String(), nil
}

// ask sends the question, over TCP again when the reply over UDP is truncated.
func ask(ctx context.Context, server string, q dns.Question, tcp bool, subnet *dns.EDNS0_SUBNET) (reply, error) {
	transport := "udp"
	if tcp {
		transport = "tcp"
	}
	m := new(dns.Msg)
	m.Id = dns.Id()
	m.Question = []dns.Question{q}
	m.SetEdns0(1232, false)
	if subnet != nil {
		m.IsEdns0().Option = []dns.EDNS0{subnet}
	}
	client := dns.Client{Net: transport}
	in, took, err := client.ExchangeContext(ctx, m, server)
	var timeout net.Error
	switch {
	case errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return reply{}, noReply(fmt.Errorf("no reply from %s over %s in time", server, transport))
	case errors.Is(err, syscall.ECONNREFUSED):
		return reply{}, noReply(fmt.Errorf("no reply: nothing listens on %s over %s", server, transport))
	case err != nil:
		return reply{}, fmt.Errorf("no reply from %s over %s: %w", server, transport, err)
	case in.Truncated && !tcp:
		return ask(ctx, server, q, true, subnet)
	}
	r := reply{
		Server: server, Transport: transport, Took: took,
		Rcode: rcode(in), Flags: flags(in),
		Question: fmt.Sprintf("%s %s", q.Name, dns.Type(q.Qtype)),
		Answer:   records(in.Answer), Authority: records(in.Ns), Additional: records(in.Extra),
	}
	if subnet != nil {
		a, _ := netip.AddrFromSlice(subnet.Address)
		r.Client = netip.PrefixFrom(a, int(subnet.SourceNetmask)).String()
		if scope := scopeOf(in, subnet); scope != "" {
			r.Scope = &scope
		}
	}
	return r, nil
}

func noReply(err error) error {
	return &exitError{code: exitFailed, err: err, hint: "Is `veer run` running, and does its authority listen there?"}
}

func rcode(m *dns.Msg) string {
	if text, ok := dns.RcodeToString[m.Rcode]; ok {
		return text
	}
	return fmt.Sprintf("RCODE%d", m.Rcode)
}

func flags(m *dns.Msg) []string {
	set := []string{}
	for _, f := range []struct {
		name string
		on   bool
	}{{"qr", m.Response}, {"aa", m.Authoritative}, {"tc", m.Truncated}, {"rd", m.RecursionDesired},
		{"ra", m.RecursionAvailable}, {"ad", m.AuthenticatedData}, {"cd", m.CheckingDisabled}} {
		if f.on {
			set = append(set, f.name)
		}
	}
	return set
}

// records writes each record in presentation form; the OPT pseudo-record is
// not one (RFC 6891, section 6.1.1).
func records(list []dns.RR) []string {
	out := []string{}
	for _, rr := range list {
		if rr.Header().Rrtype != dns.TypeOPT {
			out = append(out, clean(strings.ReplaceAll(rr.String(), "\t", " ")))
		}
	}
	return out
}

func writeReply(w io.Writer, r reply) {
	fmt.Fprintf(w, ";; %s, flags %s, from %s over %s in %.1f ms\n",
		r.Rcode, strings.Join(r.Flags, " "), r.Server, r.Transport, r.Took.Seconds()*1000)
	fmt.Fprintf(w, ";; question: %s\n", r.Question)
	switch {
	case r.Client != "" && r.Scope == nil:
		fmt.Fprintf(w, ";; for %s: the server does not believe this host's client subnet option\n", r.Client)
	case r.Client != "":
		fmt.Fprintf(w, ";; for %s: holds for %s\n", r.Client, *r.Scope)
		name, _, _ := strings.Cut(r.Question, " ")
		address, _, _ := strings.Cut(r.Client, "/")
		fmt.Fprintf(w, ";; why: veer explain %s --client %s\n", strings.TrimSuffix(name, "."), address)
	}
	for _, section := range []struct {
		name    string
		records []string
	}{{"answer", r.Answer}, {"authority", r.Authority}, {"additional", r.Additional}} {
		if len(section.records) == 0 {
			continue
		}
		fmt.Fprintf(w, ";; %s (%d)\n", section.name, len(section.records))
		for _, record := range section.records {
			fmt.Fprintln(w, record)
		}
	}
	if len(r.Answer) == 0 {
		fmt.Fprintln(w, ";; no answer")
	}
}
