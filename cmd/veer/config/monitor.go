package config

import (
	"path/filepath"
	"reflect"
	"strings"

	"github.com/veerdns/veer/checks/callcheck"
	"github.com/veerdns/veer/checks/compositecheck"
	"github.com/veerdns/veer/checks/dnscheck"
	"github.com/veerdns/veer/checks/execcheck"
	"github.com/veerdns/veer/checks/grpccheck"
	"github.com/veerdns/veer/checks/httpcheck"
	"github.com/veerdns/veer/checks/icmpcheck"
	"github.com/veerdns/veer/checks/promcheck"
	"github.com/veerdns/veer/checks/sqlcheck"
	"github.com/veerdns/veer/checks/tcpcheck"
	"github.com/veerdns/veer/checks/tlscheck"
	"github.com/veerdns/veer/regions/prober"
)

// Monitor says how to probe: the fields that every kind has, and the kind's
// own, of which exactly one is set.
type Monitor struct {
	prober.MonitorConfig
	HTTP *httpcheck.Config // kinds http and https
	TCP  *tcpcheck.Config
	TLS  *tlscheck.Config
	GRPC *grpccheck.Config // kinds grpc and grpcs
	ICMP *icmpcheck.Config
	DNS  *dnscheck.Config
	Exec *execcheck.Config

	SQL       *sqlcheck.Config
	Prom      *promcheck.Config
	Composite *compositecheck.Config
	Heartbeat *callcheck.Config
	// Parts are the monitors that Composite names, in its order.
	Parts []Part
}

// Part is a monitor as a part of another.
type Part struct {
	Name    string
	Monitor Monitor
}

// The kinds of monitors.
const (
	KindHTTP  = "http"
	KindHTTPS = "https"
	KindTCP   = "tcp"
	KindTLS   = "tls"
	KindGRPC  = "grpc"
	KindGRPCS = "grpcs"
	KindICMP  = "icmp"
	KindDNS   = "dns"
	KindExec  = "exec"

	KindSQL       = "sql"
	KindProm      = "prom"
	KindComposite = "composite"
	KindHeartbeat = "heartbeat"
)

func monitorKinds() []string {
	return []string{KindHTTP, KindHTTPS, KindTCP, KindTLS, KindGRPC, KindGRPCS, KindICMP, KindDNS, KindExec, KindSQL, KindProm, KindComposite, KindHeartbeat}
}

// choose makes the Config of the monitor's kind and returns it, or nil for an
// unknown kind.
func (m *Monitor) choose() any {
	switch m.Kind {
	case KindHTTP, KindHTTPS:
		m.HTTP = &httpcheck.Config{Scheme: m.Kind}
		return m.HTTP
	case KindTCP:
		m.TCP = &tcpcheck.Config{}
		return m.TCP
	case KindTLS:
		m.TLS = &tlscheck.Config{}
		return m.TLS
	case KindGRPC, KindGRPCS:
		m.GRPC = &grpccheck.Config{Secure: m.Kind == KindGRPCS}
		return m.GRPC
	case KindICMP:
		m.ICMP = &icmpcheck.Config{}
		return m.ICMP
	case KindDNS:
		m.DNS = &dnscheck.Config{}
		return m.DNS
	case KindExec:
		m.Exec = &execcheck.Config{}
		return m.Exec
	case KindSQL:
		m.SQL = &sqlcheck.Config{}
		return m.SQL
	case KindProm:
		m.Prom = &promcheck.Config{}
		return m.Prom
	case KindComposite:
		m.Composite = &compositecheck.Config{}
		return m.Composite
	case KindHeartbeat:
		m.Heartbeat = &callcheck.Config{}
		return m.Heartbeat
	}
	return nil
}

// own returns the kind's Config.
func (m Monitor) own() interface {
	Check(func(field, format string, args ...any))
} {
	switch {
	case m.HTTP != nil:
		return *m.HTTP
	case m.TCP != nil:
		return *m.TCP
	case m.TLS != nil:
		return *m.TLS
	case m.GRPC != nil:
		return *m.GRPC
	case m.ICMP != nil:
		return *m.ICMP
	case m.DNS != nil:
		return *m.DNS
	case m.Exec != nil:
		return *m.Exec
	case m.SQL != nil:
		return *m.SQL
	case m.Prom != nil:
		return *m.Prom
	case m.Composite != nil:
		return *m.Composite
	case m.Heartbeat != nil:
		return *m.Heartbeat
	}
	return nil
}

func (m *Monitor) fromNode(d decoder, n *node, path string) {
	if n.shape != mapping {
		d.mismatch(n, path, "keys and values below it, such as kind: http", "")
		return
	}
	kind := n.get("kind")
	if kind == nil {
		d.bad(n, path, Error{Problem: "the key kind is missing", Expected: "one of " + strings.Join(monitorKinds(), ", ")})
		return
	}
	d.value(kind, join(path, "kind"), addressable(&m.Kind))
	own := m.choose()
	if own == nil {
		d.unknownWord(kind, join(path, "kind"), monitorKinds())
		return
	}
	d.structs(n, path, addressable(&m.MonitorConfig), reflect.ValueOf(own).Elem())
	if m.Exec != nil && len(m.Exec.Command) > 0 {
		if program := m.Exec.Command[0]; strings.Contains(program, "/") && !filepath.IsAbs(program) {
			m.Exec.Command[0] = filepath.Join(d.src.dir, program)
		}
	}
}

func (m Monitor) toNode(e encoder) *node {
	absent := prober.MonitorConfig{Interval: m.Interval, Rise: m.Rise}.Defaults()
	plain := prober.MonitorConfig{}.Defaults()
	absent.Interval, absent.Rise = plain.Interval, plain.Rise
	if m.Heartbeat != nil {
		absent.Interval = heartbeatDefaults(prober.MonitorConfig{}).Interval
	}
	out := e.against(reflect.ValueOf(m.MonitorConfig), reflect.ValueOf(absent))
	if m.Heartbeat != nil {
		out.drop(notOfHeartbeats()...)
	}
	if own := m.own(); own != nil {
		out.pairs = append(out.pairs, e.structs(reflect.ValueOf(own)).pairs...)
	}
	return out
}

// unknownWord reports a word that is none of the known ones.
func (d decoder) unknownWord(n *node, path string, known []string) {
	if n.shape != scalar || n.form() != formText {
		return // reported as a wrong type
	}
	d.bad(n, path, Error{
		Problem:  "found " + quote(n.text),
		Expected: "one of " + strings.Join(known, ", "),
		Hint:     didYouMean(n.text, known),
	})
}

func addressable[T any](p *T) reflect.Value { return reflect.ValueOf(p).Elem() }
