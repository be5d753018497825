package route53

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/veerdns/veer/providers"
)

// Condition keys of ChangeResourceRecordSets
// (https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/specifying-conditions-route53.html).
const (
	keyNames   = "route53:ChangeResourceRecordSetsNormalizedRecordNames"
	keyTypes   = "route53:ChangeResourceRecordSetsRecordTypes"
	keyActions = "route53:ChangeResourceRecordSetsActions"
)

// PolicyInput is what a policy is made for.
type PolicyInput struct {
	// Owner is this Veer's name in every zone.
	Owner string
	// Names are the services' names in the provider's zones, Types the types of
	// their answers (A, AAAA, CNAME).
	Names, Types []string
	// IDs are the hosted zones' ids by zone name, for zones whose id the config
	// leaves out; see Provider.ZoneIDs.
	IDs map[string]string
	// ReadOnly makes the policy for reading alone, as `veer plan` needs it.
	ReadOnly bool
}

// policy is an IAM policy document.
type policy struct {
	Version   string
	Statement []statement
}

type statement struct {
	Sid       string
	Effect    string
	Action    []string
	Resource  []string
	Condition map[string]map[string][]string `json:",omitempty"`
}

// Policy returns the least IAM policy, as JSON, with which Veer can steer the
// names. A batch holds records of several names and types, all of which one
// statement must allow; so there is one for each zone.
func (c Config) Policy(in PolicyInput) ([]byte, error) {
	c = c.Defaults()
	p := policy{Version: "2012-10-17"}
	var zones, vpcZones []string
	lookup := false
	partition := partition(c.Region)
	for i, name := range c.ZoneNames() {
		id := c.Zones[i].ID
		if id == "" {
			id, lookup = in.IDs[name], true
		}
		if !zoneID.MatchString(id) {
			return nil, fmt.Errorf("policy for zone %s: its id is not known: give it in the config, as zones[%d].id", name, i)
		}
		arn := "arn:" + partition + ":route53:::hostedzone/" + id
		zones = append(zones, arn)
		if c.Zones[i].ID == "" && c.Zones[i].VPC != "" {
			vpcZones = append(vpcZones, arn)
		}
		if !in.ReadOnly {
			p.Statement = append(p.Statement, statement{
				Sid: fmt.Sprintf("VeerWrite%d", i), Effect: "Allow", Action: []string{"route53:" + actChange}, Resource: []string{arn},
				Condition: map[string]map[string][]string{"ForAllValues:StringEquals": {
					keyNames: c.policyNames(in, name), keyTypes: c.policyTypes(in), keyActions: {"CREATE", "DELETE"},
				}},
			})
		}
	}
	allow := func(sid, action string, on ...string) {
		p.Statement = append(p.Statement, statement{Sid: sid, Effect: "Allow", Action: []string{"route53:" + action}, Resource: on})
	}
	allow("VeerRead", actList, zones...)
	if !in.ReadOnly {
		allow("VeerFollow", actGetChange, "arn:"+partition+":route53:::change/*")
	}
	if lookup {
		allow("VeerLookUp", actByName, "*")
	}
	if len(vpcZones) > 0 {
		allow("VeerVPC", actGetZone, vpcZones...)
	}
	out, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	return append(out, '\n'), nil
}

// policyNames are the names in the zone that Veer writes, as the condition
// wants them: lower case, without the final dot, escaped in octal. The fence is
// written in every zone.
func (c Config) policyNames(in PolicyInput, zone string) []string {
	var names []string
	for _, name := range in.Names {
		name = providers.CanonicalName(name)
		if c.zoneOf(name) == zone {
			names = append(names, name, providers.OwnerName(name))
		}
	}
	names = append(names, providers.FenceName(in.Owner, zone), providers.ScratchName(in.Owner, zone), providers.ProofName(in.Owner, zone))
	for i, name := range names {
		names[i] = strings.TrimSuffix(normalized(name), ".")
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// zoneOf is the longest of the zones that the name is in, or "".
func (c Config) zoneOf(name string) string {
	longest := ""
	for _, zone := range c.ZoneNames() {
		if providers.InZone(name, zone) && len(zone) > len(longest) {
			longest = zone
		}
	}
	return longest
}

func (c Config) policyTypes(in PolicyInput) []string {
	types := append([]string{"TXT"}, in.Types...)
	if slices.Contains(in.Types, "CNAME") {
		for _, a := range c.Aliases {
			types = append(types, a.Types...)
		}
	}
	slices.Sort(types)
	return slices.Compact(types)
}

// partition is the part of AWS that a region is in.
func partition(region string) string {
	switch {
	case strings.HasPrefix(region, "cn-"):
		return "aws-cn"
	case strings.HasPrefix(region, "us-gov-"):
		return "aws-us-gov"
	}
	return "aws"
}

// globalRegion is the region that requests to Route 53 are signed for in the
// partition of a region
// (https://docs.aws.amazon.com/general/latest/gr/r53.html).
func globalRegion(region string) string {
	return map[string]string{"aws": defaultRegion, "aws-cn": "cn-northwest-1", "aws-us-gov": "us-gov-west-1"}[partition(region)]
}
