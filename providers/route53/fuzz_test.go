package route53_test

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/route53"
)

// FuzzReply: whatever the API replies, reading ends without a panic, in an
// error or in sets that are of the zone, and writing does not take it for done
// unless it names a change.
func FuzzReply(f *testing.F) {
	const head, tail = `<ListResourceRecordSetsResponse><MaxItems>300</MaxItems><IsTruncated>false</IsTruncated><ResourceRecordSets><ResourceRecordSet><Name>example.test.</Name><Type>SOA</Type><TTL>1</TTL><ResourceRecords><ResourceRecord><Value>x</Value></ResourceRecord></ResourceRecords></ResourceRecordSet>`, `</ResourceRecordSets></ListResourceRecordSetsResponse>`
	set := func(inner string) string { return head + "<ResourceRecordSet>" + inner + "</ResourceRecordSet>" + tail }
	for _, s := range []string{
		"", "OK", head + tail,
		set(`<Name>a.example.test.</Name><Type>A</Type><TTL>60</TTL><ResourceRecords><ResourceRecord><Value>192.0.2.1</Value></ResourceRecord></ResourceRecords>`),
		set(`<Name>\052.example.test.</Name><Type>A</Type><AliasTarget><HostedZoneId>Z1</HostedZoneId><DNSName>lb.example.</DNSName></AliasTarget>`),
		set(`<Name>_veer.a.example.test.</Name><Type>TXT</Type><TTL>60</TTL><ResourceRecords><ResourceRecord><Value>"veer-owner owner=shop"</Value></ResourceRecord></ResourceRecords>`),
		set(`<Name>a.example.test.</Name><Type>A</Type><SetIdentifier>x</SetIdentifier><MultiValueAnswer>true</MultiValueAnswer><TTL>60</TTL><ResourceRecords><ResourceRecord><Value>192.0.2.1</Value></ResourceRecord></ResourceRecords>`),
		set(`<Name>a.elsewhere.</Name><Type>A</Type><TTL>-1</TTL>`),
		`<ErrorResponse><Error><Code>Throttling</Code></Error></ErrorResponse>`,
		`<ChangeResourceRecordSetsResponse><ChangeInfo><Id>/change/C1</Id><Status>PENDING</Status></ChangeInfo></ChangeResourceRecordSetsResponse>`,
	} {
		f.Add(s, uint16(200))
		f.Add(s, uint16(400))
	}
	path := filepath.Join(f.TempDir(), "credentials")
	if err := os.WriteFile(path, []byte("[default]\naws_access_key_id = a\naws_secret_access_key = b\n"), 0o600); err != nil {
		f.Fatal(err)
	}
	var body string
	var status int
	var cancel context.CancelFunc
	transport := roundTripper(func(req *http.Request) (*http.Response, error) {
		if strings.Contains(req.URL.Path, "/change/") {
			cancel() // else a change that is PENDING is followed for ever
		}
		return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader(body)), Header: http.Header{}, Request: req}, nil
	})
	c := route53.Config{
		Zones: []route53.Zone{{Name: zone, ID: "Z1"}}, Region: "us-east-1", CredentialsFile: path, Endpoint: "http://route53.test", Rate: 10000, Burst: 100000,
		Aliases: map[string]route53.Alias{"lb.example.": {ZoneID: "Z1"}},
	}
	p, err := route53.New(c, route53.Options{Owner: "shop", Transport: transport, Log: zerolog.Nop()})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string, code uint16) {
		if code < 200 || code > 499 {
			return // 5xx are sent again, after a wait
		}
		body, status = text, int(code)
		if strings.Contains(text, "Throttl") || strings.Contains(text, "RequestLimit") || strings.Contains(text, "SlowDown") ||
			strings.Contains(text, "Timeout") || strings.Contains(text, "TooMany") || strings.Contains(text, "Exceeded") || strings.Contains(text, "Prior") || code == 429 || code == 408 {
			return // and so are these
		}
		var ctx context.Context
		ctx, cancel = context.WithCancel(context.Background())
		defer cancel()
		snap, err := p.Read(ctx, zone)
		if err == nil {
			for _, set := range append(snap.Records, snap.Foreign...) {
				if !providers.InZone(set.Name, zone) || len(set.Data) == 0 {
					t.Fatalf("%q was read as %+v", text, set)
				}
			}
			if !strings.Contains(text, "SOA") {
				t.Fatalf("%q was read as a zone", text)
			}
		}
		if _, err := p.Follow(ctx, providers.Receipt{Change: "C1"}); err == nil && !strings.Contains(text, "INSYNC") {
			t.Fatalf("%q was taken for a change that is in sync", text)
		}
	})
}
