package route53_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/veerdns/veer/providers/internal/fenced"
	"github.com/veerdns/veer/providers/providertest"
	"github.com/veerdns/veer/providers/route53"
	"github.com/veerdns/veer/providers/route53/route53test"
)

// document is what a test reads of a policy.
type document struct {
	Version   string
	Statement []struct {
		Sid, Effect      string
		Action, Resource []string
		Condition        map[string]map[string][]string
	}
}

func policyOf(t *testing.T, c route53.Config, in route53.PolicyInput) (document, []byte) {
	t.Helper()
	text, err := c.Policy(in)
	if err != nil {
		t.Fatal(err)
	}
	var doc document
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	return doc, text
}

// TestPolicy: the policy names the services, what belongs to them and nothing
// else, as the conditions want names spelled.
func TestPolicy(t *testing.T) {
	c := route53.Config{Zones: []route53.Zone{{Name: "example.com", ID: "Z1"}, {Name: "eu.example.com", ID: "Z2"}}}
	in := route53.PolicyInput{Owner: "shop", Names: []string{"App.Example.com", "*.example.com.", `a\.b.eu.example.com.`, "example.com"}, Types: []string{"AAAA", "A"}}
	doc, _ := policyOf(t, c, in)
	const values = "ForAllValues:StringEquals"
	want := []string{
		`\052.example.com`, "_veer-fence.shop.example.com", "_veer-proof.shop.example.com", "_veer-scratch.shop.example.com",
		"_veer._wildcard.example.com", "_veer.app.example.com", "_veer.example.com", "app.example.com", "example.com",
	}
	if got := doc.Statement[0].Condition[values]["route53:ChangeResourceRecordSetsNormalizedRecordNames"]; !slices.Equal(got, want) {
		t.Errorf("names:\n%s", cmp.Diff(want, got))
	}
	want = []string{"_veer-fence.shop.eu.example.com", "_veer-proof.shop.eu.example.com", "_veer-scratch.shop.eu.example.com", `_veer.a\056b.eu.example.com`, `a\056b.eu.example.com`}
	if got := doc.Statement[1].Condition[values]["route53:ChangeResourceRecordSetsNormalizedRecordNames"]; !slices.Equal(got, want) {
		t.Errorf("names of the second zone:\n%s", cmp.Diff(want, got))
	}
	for i, st := range doc.Statement[:2] {
		if st.Effect != "Allow" || !slices.Equal(st.Resource, []string{fmt.Sprintf("arn:aws:route53:::hostedzone/Z%d", i+1)}) ||
			!slices.Equal(st.Condition[values]["route53:ChangeResourceRecordSetsRecordTypes"], []string{"A", "AAAA", "TXT"}) ||
			!slices.Equal(st.Condition[values]["route53:ChangeResourceRecordSetsActions"], []string{"CREATE", "DELETE"}) {
			t.Errorf("statement %+v", st)
		}
	}
	actions := func(doc document) (out []string) {
		for _, st := range doc.Statement {
			out = append(out, st.Action...)
		}
		slices.Sort(out)
		return slices.Compact(out)
	}
	if got := actions(doc); !slices.Equal(got, []string{"route53:ChangeResourceRecordSets", "route53:GetChange", "route53:ListResourceRecordSets"}) {
		t.Errorf("actions %q", got)
	}
	in.ReadOnly = true
	if doc, _ := policyOf(t, c, in); !slices.Equal(actions(doc), []string{"route53:ListResourceRecordSets"}) {
		t.Errorf("to read, actions %q", actions(doc))
	}
	c.Zones[0].ID, c.Zones[0].Private, c.Zones[0].VPC, c.Region = "", true, "vpc-01234567", "us-gov-west-1"
	if _, err := c.Policy(in); err == nil || !strings.Contains(err.Error(), "zones[0].id") {
		t.Errorf("a zone without an id: %v", err)
	}
	in.IDs = map[string]string{"example.com.": "Z9"}
	doc, text := policyOf(t, c, in)
	if got := actions(doc); !slices.Equal(got, []string{"route53:GetHostedZone", "route53:ListHostedZonesByName", "route53:ListResourceRecordSets"}) {
		t.Errorf("with a look-up, actions %q", got)
	}
	if !strings.Contains(string(text), `"arn:aws-us-gov:route53:::hostedzone/Z9"`) {
		t.Errorf("the partition or the id is not in %s", text)
	}
}

// TestPolicyAliases: aliases are of their own types.
func TestPolicyAliases(t *testing.T) {
	c := route53.Config{Zones: []route53.Zone{{Name: "example.com", ID: "Z1"}}, Aliases: map[string]route53.Alias{"lb.example.": {ZoneID: "Z2"}}}
	doc, _ := policyOf(t, c, route53.PolicyInput{Owner: "shop", Names: []string{"app.example.com"}, Types: []string{"CNAME"}})
	if got := doc.Statement[0].Condition["ForAllValues:StringEquals"]["route53:ChangeResourceRecordSetsRecordTypes"]; !slices.Equal(got, []string{"A", "AAAA", "CNAME", "TXT"}) {
		t.Errorf("types %q", got)
	}
}

// contractNames are the names that the contract writes. One that is missing
// here is denied, and the test says which.
func contractNames() []string {
	var names []string
	for _, label := range []string{
		"app", "a\\.b", "*.wild", "*", "*.below", "w", "theirs", "blog", "aaa", "mmm", "zzz", "other", "one", "new", "low", "high", "keep", "ghost",
		"a", "b", "c", "x", "beyond", "alias",
	} {
		names = append(names, label+"."+zone)
	}
	for i := range 1200 {
		names = append(names, fmt.Sprintf("part%d.%s", i, zone))
	}
	return names
}

// TestContractUnderPolicy: the whole contract holds for simple records with
// nothing allowed but what the policy does, in a private zone that is looked up.
func TestContractUnderPolicy(t *testing.T) {
	names := contractNames()
	providertest.RunBubble(t, func(t *testing.T) providertest.World {
		server := newServer(t, func(o *route53test.Options) {
			o.Zones = []route53test.Zone{{ID: "Z0PUBLIC", Name: zone}, {ID: route53test.ZoneID, Name: zone, Private: true, VPCs: []string{"vpc-01234567"}}}
		})
		c := sharing(t)
		c.Zones[0] = route53.Zone{Name: zone, Private: true, VPC: "vpc-01234567"}
		in := route53.PolicyInput{Owner: "shop", Names: names, Types: []string{"A", "AAAA", "CNAME"}, IDs: map[string]string{zone: route53test.ZoneID}}
		_, text := policyOf(t, c, in)
		if err := server.SetPolicy(text); err != nil {
			t.Fatal(err)
		}
		w := server.Contract(t, c, "shop")
		// Another owner has a policy of its own, on a client of its own; the
		// server knows one at a time, so that of both is joined.
		in.Owner = w.Owner + "-two"
		_, other := policyOf(t, c, in)
		if err := server.AddPolicy(other); err != nil {
			t.Fatal(err)
		}
		return w
	})
}

// TestPolicyRefuses: what is not Veer's is denied: another name, another type,
// another zone, another owner's fence, and with the policy to read any write.
func TestPolicyRefuses(t *testing.T) {
	for _, test := range []struct {
		name  string
		edit  func(*route53.PolicyInput)
		label string
		says  string
	}{
		{"its own name", nil, "app", ""},
		{"a foreign name", nil, "www", "AccessDenied"},
		{"a name below", nil, "x.app", "AccessDenied"},
		{"another owner's", func(in *route53.PolicyInput) { in.Owner = "blog" }, "app", "AccessDenied"},
		{"another type", func(in *route53.PolicyInput) { in.Types = []string{"AAAA"} }, "app", "AccessDenied"},
		{"to read alone", func(in *route53.PolicyInput) { in.ReadOnly = true }, "app", "AccessDenied"},
	} {
		b := newBench(t, nil)
		in := route53.PolicyInput{Owner: "shop", Names: []string{"app." + zone}, Types: []string{"A"}}
		if test.edit != nil {
			test.edit(&in)
		}
		_, text := policyOf(t, route53.Config{Zones: []route53.Zone{{Name: zone, ID: route53test.ZoneID}}}, in)
		if err := b.server.SetPolicy(text); err != nil {
			t.Fatal(err)
		}
		err := b.apply(a(test.label, "192.0.2.1"))
		if (err == nil) != (test.says == "") || err != nil && (!strings.Contains(err.Error(), test.says) || !errors.Is(err, fenced.ErrNothing)) {
			t.Errorf("%s: got %v, want %s", test.name, err, test.says)
		}
		if err != nil && b.held(test.label+"."+zone) != "" {
			t.Errorf("%s: it was written all the same", test.name)
		}
	}
}
