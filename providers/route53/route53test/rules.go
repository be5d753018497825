package route53test

// Rule is one rule of the API that the emulator enforces. Each can be switched
// off by Options.Without, for a test to show that it matters.
type Rule string

// The rules.
const (
	ExactDelete        Rule = "DELETE gives the set exactly, its values in any order"
	Atomic             Rule = "a batch is done whole or not at all"
	CreateOver         Rule = "CREATE over an existing set is refused"
	DeleteTwice        Rule = "a set is deleted once in a batch"
	RoutingPolicy      Rule = "sets of one name and type have one routing policy"
	CNAMEBeside        Rule = "a CNAME stands alone at its name"
	CNAMEApex          Rule = "no CNAME at the zone's apex"
	ApexStays          Rule = "the apex keeps its NS and SOA"
	TTLRange           Rule = "a TTL is given, from 0 to 2147483647"
	WeightedTTL        Rule = "weighted sets of one name and type have one TTL"
	WeightRange        Rule = "a weight is from 0 to 255"
	IdentifierLength   Rule = "a set identifier has 1 to 128 characters"
	MultivalueOne      Rule = "a multivalue answer has one value, is no CNAME and no alias"
	AliasWithoutTTL    Rule = "an alias has neither TTL nor values"
	ValueFormat        Rule = "values are of their type"
	ValueTwice         Rule = "no value twice in a set"
	OutOfZone          Rule = "a name is in its zone"
	CaseFolding        Rule = "letters of names are folded"
	OctalEscapes       Rule = "names are escaped in octal"
	SortOrder          Rule = "listings are sorted by name with its labels reversed, type and identifier"
	Paging             Rule = "a listing has at most MaxItems sets, and at most 300"
	StartType          Rule = "a listing that starts at a type starts at a name"
	BatchRecords       Rule = "a batch has at most 1,000 ResourceRecord elements"
	BatchCharacters    Rule = "a batch has at most 32,000 characters in Value elements"
	UpsertTwice        Rule = "an UPSERT counts twice"
	ThrottleAccount    Rule = "an account has a bucket of requests"
	ThrottleAction     Rule = "an action has a bucket of requests"
	ThrottleChanges    Rule = "an account has a bucket of changes"
	PriorRequest       Rule = "one change of a zone is processed at a time"
	Pending            Rule = "a change is PENDING before it is INSYNC"
	NoSuchZone         Rule = "a zone that does not exist is told"
	Signature          Rule = "requests are signed (SigV4)"
	SignatureScope     Rule = "a signature is for the service and region"
	SessionExpiry      Rule = "temporary credentials expire"
	Authorization      Rule = "what the policy does not allow is denied"
	ExternalID         Rule = "a role is assumed with its external id"
	WebIdentity        Rule = "a role is assumed with the token that it trusts"
	PrivateZonesByName Rule = "zones are listed by name, private ones too"
)

// Pages of the API's documentation.
const (
	apiRef   = "https://docs.aws.amazon.com/Route53/latest/APIReference/"
	devGuide = "https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/"

	pageChange     = apiRef + "API_ChangeResourceRecordSets.html"
	pageSet        = apiRef + "API_ResourceRecordSet.html"
	pageList       = apiRef + "API_ListResourceRecordSets.html"
	pageByName     = apiRef + "API_ListHostedZonesByName.html"
	pageGetChange  = apiRef + "API_GetChange.html"
	pageTypes      = devGuide + "ResourceRecordTypes.html"
	pageNames      = devGuide + "DomainNameFormat.html"
	pageLimits     = devGuide + "DNSLimitations.html"
	pageThrottling = devGuide + "throttling-api-requests.html"
	pageConditions = devGuide + "specifying-conditions-route53.html"
	pageSigning    = "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html"
	pageAssumeRole = "https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html"
	pageWebRole    = "https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html"
)

// Rules returns every rule with the page that states it.
func Rules() map[Rule]string {
	return map[Rule]string{
		ExactDelete: pageChange, Atomic: pageChange, CreateOver: pageChange, DeleteTwice: pageChange,
		RoutingPolicy: pageSet, CNAMEBeside: pageTypes, CNAMEApex: pageTypes, ApexStays: devGuide + "SOA-NSrecords.html",
		TTLRange: pageSet, WeightedTTL: pageSet, WeightRange: pageSet, IdentifierLength: pageSet,
		MultivalueOne: pageSet, AliasWithoutTTL: pageSet, ValueFormat: pageTypes, ValueTwice: pageTypes,
		OutOfZone: pageChange, CaseFolding: pageNames, OctalEscapes: pageNames,
		SortOrder: pageList, Paging: pageList, StartType: pageList,
		BatchRecords: pageLimits, BatchCharacters: pageLimits, UpsertTwice: pageLimits,
		ThrottleAccount: pageThrottling, ThrottleAction: pageThrottling, ThrottleChanges: pageThrottling,
		PriorRequest: pageLimits, Pending: pageGetChange, NoSuchZone: pageChange,
		Signature: pageSigning, SignatureScope: pageSigning, SessionExpiry: pageSigning,
		Authorization: pageConditions, ExternalID: pageAssumeRole, WebIdentity: pageWebRole,
		PrivateZonesByName: pageByName,
	}
}

func (s *Server) on(r Rule) bool { return !s.without[r] }
