package route53

import (
	"path/filepath"
	"time"

	"github.com/veerdns/veer/providers"
)

// Config is a provider of kind route53. The zones of one Config are of one AWS
// account and share its limits.
type Config struct {
	Zones []Zone `yaml:"zones"`
	// Region is where requests are signed for and STS is asked; Route 53 itself
	// has none. Empty takes what the SDK's chain finds, else us-east-1.
	Region string `yaml:"region"`
	// Profile is a profile of the shared config and credentials files.
	Profile string `yaml:"profile"`
	// CredentialsFile is a shared credentials file in place of the SDK's own
	// place for it, ~/.aws/credentials. A relative path is relative to the
	// working folder; see Rebase.
	CredentialsFile string `yaml:"credentials_file"`
	// RoleARN is a role to assume with the credentials that the SDK's chain or
	// WebIdentityTokenFile gives, ExternalID what its trust policy asks for.
	RoleARN    string `yaml:"role_arn"`
	ExternalID string `yaml:"external_id"`
	// WebIdentityTokenFile holds an OpenID Connect token that RoleARN trusts.
	// A relative path is relative to the working folder; see Rebase.
	WebIdentityTokenFile string `yaml:"web_identity_token_file"`
	// FIPS uses the endpoints of validated cryptography.
	FIPS bool `yaml:"fips"`
	// Endpoint and STSEndpoint are the base URLs of the two APIs where they are
	// not AWS's public ones.
	Endpoint    string `yaml:"endpoint"`
	STSEndpoint string `yaml:"sts_endpoint"`
	// Rate and Burst bound the requests of all actions together, in requests a
	// second and at once, and those of each action that Actions does not name.
	Rate  float64 `yaml:"rate"`
	Burst int     `yaml:"burst"`
	// Actions bounds single actions, such as ChangeResourceRecordSets, so that
	// room is left for the account's other users.
	Actions map[string]Bucket `yaml:"actions"`
	// Timeout bounds one request.
	Timeout time.Duration `yaml:"timeout"`
	// Multivalue writes A and AAAA sets without weights as multivalue answer
	// records, one for each address.
	Multivalue bool `yaml:"multivalue"`
	// Aliases are the host names that are answered by alias records in place
	// of a CNAME.
	Aliases map[string]Alias `yaml:"aliases"`
	// Queue is the longest that a change waits to be accepted, Propagation the
	// longest until every name server has it: parts of the RTO.
	Queue       time.Duration `yaml:"queue"`
	Propagation time.Duration `yaml:"propagation"`
}

// Zone is a hosted zone.
type Zone struct {
	Name string `yaml:"name"`
	// ID is the hosted zone's id, Z and letters and digits. Without, the zone
	// is looked up by its name.
	ID string `yaml:"id"`
	// Private looks up the private zone of the name, and not the public one;
	// VPC the private one that this VPC uses.
	Private bool   `yaml:"private"`
	VPC     string `yaml:"vpc"`
}

// Bucket bounds requests: Rate a second, Burst at once.
type Bucket struct {
	Rate  float64 `yaml:"rate"`
	Burst int     `yaml:"burst"`
}

// Alias is an AWS resource that records can point to.
type Alias struct {
	// ZoneID is the hosted zone of the resource, as its own API tells it.
	ZoneID string `yaml:"zone_id"`
	// EvaluateTargetHealth has Route 53 leave the record out while the resource
	// has nothing healthy.
	EvaluateTargetHealth bool `yaml:"evaluate_target_health"`
	// Types are those of the alias records: A, AAAA or, if empty, both.
	Types []string `yaml:"types"`
	// TTL is that of the resource's own records, in seconds: alias records have
	// none of their own. 0 is 60, that of load balancers.
	TTL uint32 `yaml:"ttl"`
}

// The defaults of Config.
const (
	defaultRegion = "us-east-1"
	// https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/throttling-api-requests.html
	defaultRate  = 10
	defaultBurst = 50
	// https://docs.aws.amazon.com/Route53/latest/APIReference/API_ChangeResourceRecordSets.html
	// ("within 60 seconds").
	defaultPropagation = 60 * time.Second
	defaultQueue       = 5 * time.Second
	defaultTimeout     = 10 * time.Second
	defaultAliasTTL    = 60
	longest            = 10 * time.Minute
)

// Bounds of what records can express.
const (
	// https://docs.aws.amazon.com/Route53/latest/APIReference/API_ResourceRecordSet.html
	maxWeight = 255
	maxTTL    = 1<<31 - 1
	// https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/DNSLimitations.html
	batchRecords    = 1000
	batchCharacters = 32000
)

// Defaults returns the Config with what was left out filled in.
func (c Config) Defaults() Config {
	if c.Rate == 0 {
		c.Rate = defaultRate
	}
	if c.Burst == 0 {
		c.Burst = defaultBurst
	}
	for field, value := range map[*time.Duration]time.Duration{
		&c.Timeout: defaultTimeout, &c.Queue: defaultQueue, &c.Propagation: defaultPropagation,
	} {
		if *field == 0 {
			*field = value
		}
	}
	aliases := make(map[string]Alias, len(c.Aliases))
	for host, a := range c.Aliases {
		if len(a.Types) == 0 {
			a.Types = []string{"A", "AAAA"}
		}
		if a.TTL == 0 {
			a.TTL = defaultAliasTTL
		}
		aliases[providers.CanonicalName(host)] = a
	}
	c.Aliases = aliases
	return c
}

// Rebase returns the config with relative files below dir, the folder of the
// file that names them.
func (c Config) Rebase(dir string) Config {
	for _, f := range []*string{&c.WebIdentityTokenFile, &c.CredentialsFile} {
		if *f != "" && !filepath.IsAbs(*f) {
			*f = filepath.Join(dir, *f)
		}
	}
	return c
}

// ZoneNames returns the canonical names of the zones.
func (c Config) ZoneNames() []string {
	names := make([]string, 0, len(c.Zones))
	for _, z := range c.Zones {
		names = append(names, providers.CanonicalName(z.Name))
	}
	return names
}

// Caps tells what the records can express. A TTL of 0, which the API takes, is
// not used: it stands for records that were changed by hand and must be mended.
func (c Config) Caps() providers.Caps {
	caps := providers.Caps{
		Weights: true, MaxWeight: maxWeight, Alias: len(c.Aliases) > 0,
		MinTTL: 1, MaxTTL: maxTTL, BatchRecords: batchRecords, Exact: true,
	}
	if caps.Alias {
		caps.Aliases = make(map[string]uint32, len(c.Aliases))
		for host, a := range c.Defaults().Aliases {
			caps.Aliases[host] = a.TTL
		}
	}
	return caps
}

// Worst returns the declared bounds of the wait for the API and of propagation.
func (c Config) Worst() (queue, propagation time.Duration) {
	c = c.Defaults()
	return c.Queue, c.Propagation
}
