package route53

import (
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/veerdns/veer/providers"
)

// bad reports a value that cannot be used.
type bad = func(field, format string, args ...any)

// Check reports every value that cannot be used; field is the yaml key path.
func (c Config) Check(bad func(field, format string, args ...any)) {
	c.checkZones(bad)
	c.checkCredentials(bad)
	c.checkLimits(bad)
	c.checkAliases(bad)
}

func (c Config) checkZones(bad bad) {
	if len(c.Zones) == 0 {
		bad("zones", "is empty: expected at least one zone like {name: example.com, id: Z0123456789ABCDEFGHIJ}")
	}
	seen := map[string]bool{}
	for i, z := range c.Zones {
		field := "zones[" + strconv.Itoa(i) + "]"
		name := providers.CanonicalName(z.Name)
		switch {
		case name == ".":
			bad(field+".name", "is missing: expected the zone's name, like example.com")
		case seen[name]:
			bad(field+".name", "zone %s is listed twice: a public and a private zone of one name go in two providers", name)
		}
		seen[name] = true
		if z.ID != "" && !zoneID.MatchString(z.ID) {
			bad(field+".id", "found %q: expected a hosted zone id like Z0123456789ABCDEFGHIJ", z.ID)
		}
		switch {
		case z.VPC != "" && !vpcID.MatchString(z.VPC):
			bad(field+".vpc", "found %q: expected a VPC's id like vpc-0123456789abcdef0", z.VPC)
		case z.VPC != "" && !z.Private:
			bad(field+".vpc", "is given for a public zone: only private zones belong to VPCs; set private: true")
		}
	}
}

func (c Config) checkCredentials(bad bad) {
	if c.RoleARN != "" && !roleARN.MatchString(c.RoleARN) {
		bad("role_arn", "found %q: expected a role like arn:aws:iam::123456789012:role/veer", c.RoleARN)
	}
	if c.ExternalID != "" && c.RoleARN == "" {
		bad("external_id", "is given without role_arn: it is what that role's trust policy asks for")
	}
	if c.WebIdentityTokenFile != "" && c.RoleARN == "" {
		bad("web_identity_token_file", "is given without role_arn, the role that trusts the token")
	}
	if c.WebIdentityTokenFile != "" && c.ExternalID != "" {
		bad("external_id", "is given beside web_identity_token_file: STS takes none with a token")
	}
	for field, text := range map[string]string{"profile": c.Profile, "credentials_file": c.CredentialsFile} {
		if c.WebIdentityTokenFile != "" && text != "" {
			bad(field, "is given beside web_identity_token_file: the token is the only credential used")
		}
	}
	for field, text := range map[string]string{"endpoint": c.Endpoint, "sts_endpoint": c.STSEndpoint} {
		if text == "" {
			continue
		}
		u, err := url.Parse(text)
		switch {
		case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
			bad(field, "is not an address like https://vpce-0123.route53.us-east-1.vpce.amazonaws.com")
		case u.User != nil:
			bad(field, "holds a user or password: credentials come from the SDK's chain, role_arn or web_identity_token_file")
		}
	}
	if c.FIPS && c.Endpoint != "" {
		bad("fips", "is given beside endpoint: the endpoint is what decides")
	}
	if c.Region != "" && !region.MatchString(c.Region) {
		bad("region", "found %q: expected a region like us-east-1", c.Region)
	}
}

func (c Config) checkLimits(bad bad) {
	for field, d := range map[string]time.Duration{"timeout": c.Timeout, "queue": c.Queue, "propagation": c.Propagation} {
		if d != 0 && (d < time.Millisecond || d > longest) {
			bad(field, "found %s: expected 1ms to %s", d, longest)
		}
	}
	checkBucket(bad, "", c.Defaults().bucket(""))
	for _, action := range slices.Sorted(maps.Keys(c.Actions)) {
		if !slices.Contains(actions(), action) {
			bad("actions."+action, "is no action that Veer uses: expected one of %s", strings.Join(actions(), ", "))
			continue
		}
		checkBucket(bad, "actions."+action+".", c.Actions[action])
	}
}

func checkBucket(bad bad, prefix string, b Bucket) {
	if !(b.Rate >= 0.1 && b.Rate <= 10000) {
		bad(prefix+"rate", "found %g: expected 0.1 to 10000 requests a second", b.Rate)
	}
	if b.Burst < 1 || b.Burst > 100000 {
		bad(prefix+"burst", "found %d: expected 1 to 100000 requests", b.Burst)
	}
}

// bucket returns the bounds of an action; "" is all of them together.
func (c Config) bucket(action string) Bucket {
	if b, ok := c.Actions[action]; ok {
		return b
	}
	return Bucket{Rate: c.Rate, Burst: c.Burst}
}

func (c Config) checkAliases(bad bad) {
	for _, host := range slices.Sorted(maps.Keys(c.Aliases)) {
		a, field := c.Aliases[host], "aliases."+host
		if !strings.Contains(strings.Trim(host, "."), ".") {
			bad(field, "is not a host name like lb-1234.eu-west-1.elb.amazonaws.com")
		}
		if !zoneID.MatchString(a.ZoneID) {
			bad(field+".zone_id", "found %q: expected the hosted zone id of the resource, like Z32O12XQLNTSW2", a.ZoneID)
		}
		seen := map[string]bool{}
		for _, t := range a.Types {
			if t != "A" && t != "AAAA" || seen[t] {
				bad(field+".types", "found %q: expected A, AAAA or both, each once", t)
			}
			seen[t] = true
		}
		if a.TTL > maxTTL {
			bad(field+".ttl", "found %d: expected 1 to %d seconds", a.TTL, maxTTL)
		}
	}
}

// actions are the API's actions that Veer uses.
func actions() []string {
	return []string{actChange, actList, actGetChange, actByName, actGetZone}
}

const (
	actChange    = "ChangeResourceRecordSets"
	actList      = "ListResourceRecordSets"
	actGetChange = "GetChange"
	actByName    = "ListHostedZonesByName"
	actGetZone   = "GetHostedZone"
)

var (
	zoneID  = regexp.MustCompile(`^[A-Z0-9]{1,32}$`)
	vpcID   = regexp.MustCompile(`^vpc-[0-9a-f]{8,17}$`)
	roleARN = regexp.MustCompile(`^arn:aws[a-z-]*:iam::[0-9]{12}:role/[\w+=,.@/-]+$`)
	region  = regexp.MustCompile(`^[a-z]{2}(-[a-z]+)+-[0-9]{1,2}$`)
)
