package route53test_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/aws/aws-sdk-go-v2/service/route53/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/veerdns/veer/providers/route53/route53test"
)

const id = "Z0RULES"

// lab is a server and the real SDK before it.
type lab struct {
	t *testing.T
	*route53test.Server
	api *sdk.Client
	sts *sts.Client
}

func newLab(t *testing.T, o route53test.Options) lab {
	o.Zones = []route53test.Zone{{ID: id, Name: "example.test"}, {ID: "Z0PRIVATE", Name: "example.test", Private: true, VPCs: []string{"vpc-01234567"}}}
	o.Roles = map[string]route53test.Role{"arn:aws:iam::123456789012:role/r": {ExternalID: "right", Token: "right"}}
	o.Propagation = 30 * time.Second
	s, err := route53test.New(o)
	if err != nil {
		t.Fatal(err)
	}
	l := lab{t: t, Server: s}
	l.as(aws.Credentials{AccessKeyID: route53test.AccessKey, SecretAccessKey: route53test.SecretKey}, "us-east-1")
	return l
}

func (l *lab) as(keys aws.Credentials, region string) {
	config := aws.Config{
		Region: region, HTTPClient: &http.Client{Transport: l.Server}, BaseEndpoint: aws.String("http://aws.test"),
		Credentials: credentials.StaticCredentialsProvider{Value: keys},
		Retryer:     func() aws.Retryer { return aws.NopRetryer{} },
	}
	l.api, l.sts = sdk.NewFromConfig(config), sts.NewFromConfig(config)
}

// change sends a batch, and returns what is wrong with it.
func (l lab) change(changes ...types.Change) string {
	_, err := l.api.ChangeResourceRecordSets(context.Background(), &sdk.ChangeResourceRecordSetsInput{HostedZoneId: aws.String(id), ChangeBatch: &types.ChangeBatch{Changes: changes}})
	return said(err)
}

// said tells an error by its code and the API's text.
func said(err error) string {
	var batch *types.InvalidChangeBatch
	var api smithy.APIError
	switch e := err; {
	case err == nil:
		return "done"
	case asType(e, &batch):
		return "InvalidChangeBatch: " + strings.Join(batch.Messages, "; ") + batch.ErrorMessage()
	case asType(e, &api):
		return api.ErrorCode() + ": " + api.ErrorMessage()
	}
	return err.Error()
}

func asType[T error](err error, to *T) bool {
	for err != nil {
		if e, ok := err.(T); ok {
			*to = e
			return true
		}
		u, ok := err.(interface{ Unwrap() error })
		if !ok {
			return false
		}
		err = u.Unwrap()
	}
	return false
}

func (l lab) must(got string) {
	l.t.Helper()
	if got != "done" {
		l.t.Fatalf("a change that all rules allow: %s", got)
	}
}

func rr(action types.ChangeAction, name, typ string, values ...string) types.Change {
	set := &types.ResourceRecordSet{Name: &name, Type: types.RRType(typ), TTL: aws.Int64(60)}
	for _, v := range values {
		set.ResourceRecords = append(set.ResourceRecords, types.ResourceRecord{Value: aws.String(v)})
	}
	return types.Change{Action: action, ResourceRecordSet: set}
}

func create(name, typ string, values ...string) types.Change {
	return rr("CREATE", name, typ, values...)
}
func remove(name, typ string, values ...string) types.Change {
	return rr("DELETE", name, typ, values...)
}

func with(c types.Change, edit func(*types.ResourceRecordSet)) types.Change {
	edit(c.ResourceRecordSet)
	return c
}

func weighted(name, identifier string, weight int64, value string) types.Change {
	return with(create(name, "A", value), func(s *types.ResourceRecordSet) { s.SetIdentifier, s.Weight = &identifier, &weight })
}

// listing is what a listing from a name and type on holds, page for page.
func (l lab) listing(name, typ string, limit int32) string {
	in := &sdk.ListResourceRecordSetsInput{HostedZoneId: aws.String(id), StartRecordType: types.RRType(typ), MaxItems: &limit}
	if name != "" {
		in.StartRecordName = &name
	}
	var pages []string
	for {
		out, err := l.api.ListResourceRecordSets(context.Background(), in)
		if err != nil {
			return said(err)
		}
		var names []string
		for _, s := range out.ResourceRecordSets {
			if s.Type != "NS" && s.Type != "SOA" {
				names = append(names, fmt.Sprint(*s.Name, " ", s.Type, " ", aws.ToString(s.SetIdentifier)))
			}
		}
		pages = append(pages, fmt.Sprintf("%d: %s", len(out.ResourceRecordSets), strings.Join(names, ", ")))
		if !out.IsTruncated {
			return strings.Join(pages, " | ")
		}
		in.StartRecordName, in.StartRecordType, in.StartRecordIdentifier = out.NextRecordName, out.NextRecordType, out.NextRecordIdentifier
	}
}

func many(n int, size int) []types.Change {
	var out []types.Change
	for i := range n {
		out = append(out, create(fmt.Sprintf("n%d.example.test", i), "TXT", `"`+strings.Repeat("x", size-2)+`"`))
	}
	return out
}

const role = "arn:aws:iam::123456789012:role/r"

// assume makes the lab's credentials those of the role.
func (l *lab) assume(external string) string {
	out, err := l.sts.AssumeRole(context.Background(), &sts.AssumeRoleInput{RoleArn: aws.String(role), RoleSessionName: aws.String("test"), ExternalId: &external})
	if err != nil {
		return said(err)
	}
	c := out.Credentials
	l.as(aws.Credentials{AccessKeyID: *c.AccessKeyId, SecretAccessKey: *c.SecretAccessKey, SessionToken: *c.SessionToken}, "us-east-1")
	return "done"
}

// trials show each rule: what is said while it holds, and that something else
// comes out when it is switched off.
var trials = map[route53test.Rule]struct {
	options route53test.Options
	want    string // part of what comes out while the rule holds
	run     func(l lab) string
}{
	route53test.ExactDelete: {want: "but the values provided do not match", run: func(l lab) string {
		l.must(l.change(create("a.example.test", "A", "192.0.2.1", "192.0.2.2")))
		l.must(l.change(remove("a.example.test", "A", "192.0.2.2", "192.0.2.1"), create("a.example.test", "A", "192.0.2.1", "192.0.2.2")))
		return l.change(remove("a.example.test", "A", "192.0.2.1"))
	}},
	route53test.Atomic: {want: "2: ", run: func(l lab) string {
		l.change(create("a.example.test", "A", "192.0.2.1"), remove("b.example.test", "A", "192.0.2.1"))
		return l.listing("", "", 300)
	}},
	route53test.CreateOver: {want: "but it already exists", run: func(l lab) string {
		l.must(l.change(create("a.example.test", "A", "192.0.2.1")))
		return l.change(create("a.example.test", "A", "192.0.2.1"))
	}},
	route53test.DeleteTwice: {want: "but it was not found", run: func(l lab) string {
		l.must(l.change(create("a.example.test", "A", "192.0.2.1")))
		return l.change(remove("a.example.test", "A", "192.0.2.1"), remove("a.example.test", "A", "192.0.2.1"))
	}},
	route53test.RoutingPolicy: {want: "cannot be created as a non-weighted set exists", run: func(l lab) string {
		l.must(l.change(create("a.example.test", "A", "192.0.2.1")))
		return l.change(weighted("a.example.test", "x", 1, "192.0.2.2"))
	}},
	route53test.CNAMEBeside: {want: "conflicting RRSet of type A", run: func(l lab) string {
		l.must(l.change(create("a.example.test", "A", "192.0.2.1")))
		return l.change(create("a.example.test", "CNAME", "b.example."))
	}},
	route53test.CNAMEApex: {want: "not permitted at apex", options: route53test.Options{Without: []route53test.Rule{route53test.CNAMEBeside}}, run: func(l lab) string {
		return l.change(create("example.test", "CNAME", "b.example."))
	}},
	route53test.ApexStays: {want: "must contain exactly one NS", run: func(l lab) string {
		return l.change(with(remove("example.test", "NS", "ns-1.awsdns-00.com.", "ns-2.awsdns-00.net."), func(s *types.ResourceRecordSet) { s.TTL = aws.Int64(172800) }))
	}},
	route53test.TTLRange: {want: "the TTL is missing", run: func(l lab) string {
		return l.change(with(create("a.example.test", "A", "192.0.2.1"), func(s *types.ResourceRecordSet) { s.TTL = aws.Int64(1 << 31) }))
	}},
	route53test.WeightedTTL: {want: "differs from that of the others", run: func(l lab) string {
		l.must(l.change(weighted("a.example.test", "x", 1, "192.0.2.1")))
		return l.change(with(weighted("a.example.test", "y", 1, "192.0.2.2"), func(s *types.ResourceRecordSet) { s.TTL = aws.Int64(30) }))
	}},
	route53test.WeightRange: {want: "the weight 256", run: func(l lab) string {
		return l.change(weighted("a.example.test", "x", 256, "192.0.2.1"))
	}},
	route53test.IdentifierLength: {want: "a set identifier of 1 to 128", run: func(l lab) string {
		return l.change(weighted("a.example.test", strings.Repeat("x", 129), 1, "192.0.2.1"))
	}},
	route53test.MultivalueOne: {want: "a multivalue answer has one value", run: func(l lab) string {
		return l.change(with(create("a.example.test", "A", "192.0.2.1", "192.0.2.2"), func(s *types.ResourceRecordSet) {
			s.SetIdentifier, s.MultiValueAnswer = aws.String("x"), aws.Bool(true)
		}))
	}},
	route53test.AliasWithoutTTL: {want: "neither TTL nor values", run: func(l lab) string {
		return l.change(with(create("a.example.test", "A"), func(s *types.ResourceRecordSet) {
			s.AliasTarget = &types.AliasTarget{DNSName: aws.String("lb.example."), HostedZoneId: aws.String("Z1")}
		}))
	}},
	route53test.ValueFormat: {want: "not a valid address", run: func(l lab) string {
		return l.change(create("a.example.test", "A", "2001:db8::1"))
	}},
	route53test.ValueTwice: {want: "DuplicateResourceRecord", run: func(l lab) string {
		return l.change(create("a.example.test", "A", "192.0.2.1", "192.0.2.1"))
	}},
	route53test.OutOfZone: {want: "is not permitted in zone example.test.", run: func(l lab) string {
		return l.change(create("aexample.test", "A", "192.0.2.1"))
	}},
	route53test.CaseFolding: {want: "but it already exists", run: func(l lab) string {
		l.must(l.change(create("a.example.test", "A", "192.0.2.1")))
		return l.change(create("A.example.test", "A", "192.0.2.1"))
	}},
	route53test.OctalEscapes: {want: `\052.example.test. A , \056.example.test. A `, run: func(l lab) string {
		l.must(l.change(create("*.example.test", "A", "192.0.2.1"), create(`\056.example.test`, "A", "192.0.2.1")))
		return l.listing("", "", 300)
	}},
	route53test.SortOrder: {want: "b.example.test. A , a.c.example.test. A x, a.c.example.test. A y, a.c.example.test. AAAA ", run: func(l lab) string {
		l.must(l.change(create("a.c.example.test", "AAAA", "2001:db8::1"), weighted("a.c.example.test", "y", 1, "192.0.2.1"), weighted("a.c.example.test", "x", 1, "192.0.2.1"), create("b.example.test", "A", "192.0.2.1")))
		return l.listing("", "", 300)
	}},
	route53test.Paging: {want: "300: ", options: route53test.Options{Without: []route53test.Rule{route53test.BatchRecords}}, run: func(l lab) string {
		l.must(l.change(many(300, 10)...))
		return l.listing("", "", 1000)
	}},
	route53test.StartType: {want: "InvalidInput", run: func(l lab) string { return l.listing("", "A", 300) }},
	route53test.BatchRecords: {want: "limit of 1000 exceeded", run: func(l lab) string {
		l.must(l.change(many(1000, 10)...))
		l.Server.RemoveZone(id)
		l.Server.AddZone(route53test.Zone{ID: id, Name: "example.test"})
		return l.change(many(1001, 10)...)
	}},
	route53test.BatchCharacters: {want: "exceeds 32000", run: func(l lab) string {
		l.must(l.change(many(160, 200)...))
		l.Server.RemoveZone(id)
		l.Server.AddZone(route53test.Zone{ID: id, Name: "example.test"})
		return l.change(append(many(160, 200), create("one.example.test", "TXT", `""`))...)
	}},
	route53test.UpsertTwice: {want: "limit of 1000 exceeded", run: func(l lab) string {
		batch := many(501, 10)
		for i := range batch {
			batch[i].Action = "UPSERT"
		}
		return l.change(batch...)
	}},
	route53test.ThrottleAccount: {want: "Throttling: Rate exceeded", options: route53test.Options{Burst: 3, Rate: 1}, run: func(l lab) string {
		l.listing("", "", 1)
		l.listing("a.example.test", "", 1)
		return l.change(create("a.example.test", "A", "192.0.2.1"))
	}},
	route53test.ThrottleAction: {want: "Throttling: Rate exceeded", options: route53test.Options{Burst: 1, Rate: 1, Without: []route53test.Rule{route53test.ThrottleAccount}}, run: func(l lab) string {
		l.must(l.change(create("a.example.test", "A", "192.0.2.1")))
		if got := l.listing("z.example.test", "", 300); !strings.HasPrefix(got, "0:") {
			l.t.Fatalf("another action is throttled, too: %s", got)
		}
		return l.change(create("b.example.test", "A", "192.0.2.1"))
	}},
	route53test.ThrottleChanges: {want: "Throttling: Rate exceeded", options: route53test.Options{ChangeRate: 1, ChangeBurst: 2}, run: func(l lab) string {
		l.must(l.change(create("a.example.test", "A", "192.0.2.1"), create("b.example.test", "A", "192.0.2.1")))
		return l.change(create("c.example.test", "A", "192.0.2.1"))
	}},
	route53test.PriorRequest: {want: "PriorRequestNotComplete", options: route53test.Options{Processing: time.Second}, run: func(l lab) string {
		l.must(l.change(create("a.example.test", "A", "192.0.2.1")))
		got := l.change(create("b.example.test", "A", "192.0.2.1"))
		time.Sleep(time.Second)
		l.must(l.change(create("c.example.test", "A", "192.0.2.1")))
		return got
	}},
	route53test.Pending: {want: "PENDING, then INSYNC", run: func(l lab) string {
		out, err := l.api.ChangeResourceRecordSets(context.Background(), &sdk.ChangeResourceRecordSetsInput{
			HostedZoneId: aws.String(id), ChangeBatch: &types.ChangeBatch{Changes: []types.Change{create("a.example.test", "A", "192.0.2.1")}},
		})
		if err != nil {
			return said(err)
		}
		var states []string
		for range 2 {
			c, err := l.api.GetChange(context.Background(), &sdk.GetChangeInput{Id: out.ChangeInfo.Id})
			if err != nil {
				return said(err)
			}
			states = append(states, string(c.ChangeInfo.Status))
			time.Sleep(30 * time.Second)
		}
		return strings.Join(states, ", then ")
	}},
	route53test.NoSuchZone: {want: "NoSuchHostedZone", run: func(l lab) string {
		l.Server.RemoveZone(id)
		return l.listing("", "", 300)
	}},
	route53test.Signature: {want: "SignatureDoesNotMatch", run: func(l lab) string {
		l.as(aws.Credentials{AccessKeyID: route53test.AccessKey, SecretAccessKey: "wrong"}, "us-east-1")
		return l.listing("", "", 300)
	}},
	route53test.SignatureScope: {want: "Credential should be scoped to 'us-east-1/route53', not 'eu-west-1/route53'", run: func(l lab) string {
		l.as(aws.Credentials{AccessKeyID: route53test.AccessKey, SecretAccessKey: route53test.SecretKey}, "eu-west-1")
		return l.listing("", "", 300)
	}},
	route53test.SessionExpiry: {want: "ExpiredToken", options: route53test.Options{Session: time.Minute}, run: func(l lab) string {
		l.must(l.assume("right"))
		if got := l.listing("", "", 300); !strings.HasPrefix(got, "2:") {
			l.t.Fatalf("a session that has not ended: %s", got)
		}
		time.Sleep(time.Minute + time.Second)
		return l.listing("", "", 300)
	}},
	route53test.Authorization: {want: "AccessDenied", run: func(l lab) string {
		err := l.SetPolicy([]byte(`{"Statement": [{"Effect": "Allow", "Action": ["route53:ChangeResourceRecordSets"], "Resource": ["*"],
			"Condition": {"ForAllValues:StringEquals": {"route53:ChangeResourceRecordSetsNormalizedRecordNames": ["a.example.test"]}}}]}`))
		if err != nil {
			return err.Error()
		}
		l.must(l.change(create("A.example.test.", "A", "192.0.2.1")))
		return l.change(create("b.example.test", "A", "192.0.2.1"))
	}},
	route53test.ExternalID: {want: "AccessDenied", run: func(l lab) string { return l.assume("wrong") }},
	route53test.WebIdentity: {want: "InvalidIdentityToken", run: func(l lab) string {
		_, err := l.sts.AssumeRoleWithWebIdentity(context.Background(), &sts.AssumeRoleWithWebIdentityInput{RoleArn: aws.String(role), RoleSessionName: aws.String("test"), WebIdentityToken: aws.String("wrong")})
		return said(err)
	}},
	route53test.PrivateZonesByName: {want: "[/hostedzone/Z0PRIVATE /hostedzone/Z0RULES]", run: func(l lab) string {
		out, err := l.api.ListHostedZonesByName(context.Background(), &sdk.ListHostedZonesByNameInput{DNSName: aws.String("Example.test")})
		if err != nil {
			return said(err)
		}
		var ids []string
		for _, z := range out.HostedZones {
			ids = append(ids, *z.Id)
		}
		return fmt.Sprint(ids)
	}},
}

// TestRules: each rule of the list has a page and a trial; it holds, and
// something else comes out without it.
func TestRules(t *testing.T) {
	for rule, page := range route53test.Rules() {
		if !strings.HasPrefix(page, "https://docs.aws.amazon.com/") {
			t.Errorf("%s: the page %q", rule, page)
		}
		trial, ok := trials[rule]
		if !ok {
			t.Errorf("no trial shows: %s", rule)
			continue
		}
		synctest.Test(t, func(t *testing.T) {
			on := trial.run(newLab(t, trial.options))
			if !strings.Contains(on, trial.want) {
				t.Errorf("%s: got %.300s, want %s", rule, on, trial.want)
			}
			without := trial.options
			without.Without = append(without.Without[:len(without.Without):len(without.Without)], rule)
			if off := trial.run(newLab(t, without)); strings.Contains(off, trial.want) {
				t.Errorf("%s: switched off, it still gives %.300s", rule, off)
			}
		})
	}
	if len(trials) != len(route53test.Rules()) {
		t.Errorf("%d trials for %d rules", len(trials), len(route53test.Rules()))
	}
}

// TestForms: InvalidChangeBatch comes in the two forms that are known, and
// requests that are none are refused.
func TestForms(t *testing.T) {
	for _, plain := range []bool{false, true} {
		l := newLab(t, route53test.Options{PlainErrors: plain})
		got := l.change(remove("a.example.test", "A", "192.0.2.1"), remove("b.example.test", "A", "192.0.2.1"))
		if strings.Count(got, "but it was not found") != 2 {
			t.Errorf("plain %v: %s", plain, got)
		}
	}
	l := newLab(t, route53test.Options{})
	for name, c := range map[string]types.Change{
		"empty label": create("a..example.test", "A", "192.0.2.1"),
		"long label":  create(strings.Repeat("x", 64)+".example.test", "A", "192.0.2.1"),
		"no values":   create("a.example.test", "A"),
		"text":        create("a.example.test", "TXT", "no quotes"),
		"long string": create("a.example.test", "TXT", `"`+strings.Repeat("x", 256)+`"`),
		"two names":   create("a.example.test", "CNAME", "b.example.", "c.example."),
	} {
		if got := l.change(c); !strings.HasPrefix(got, "InvalidChangeBatch") {
			t.Errorf("%s: %s", name, got)
		}
	}
	l.must(l.change(create("a.example.test", "TXT", `"two" "strings with \"quotes\", \\ and \344"`)))
}
