package route53test

import (
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"strings"
)

const namespace = "https://route53.amazonaws.com/doc/2013-04-01/"

// apiError is an error as the API replies it.
type apiError struct {
	status   int
	code     string
	messages []string
	list     bool // as a list of messages, not as one text
}

func fail(status int, code, message string) apiError {
	return apiError{status, code, []string{message}, false}
}

func failed(status int, code, message string) *apiError {
	e := fail(status, code, message)
	return &e
}

type errorReply struct {
	XMLName   xml.Name `xml:"ErrorResponse"`
	Namespace string   `xml:"xmlns,attr"`
	Type      string   `xml:"Error>Type"`
	Code      string   `xml:"Error>Code"`
	Message   string   `xml:"Error>Message"`
	RequestID string   `xml:"RequestId"`
}

type batchReply struct {
	XMLName   xml.Name `xml:"InvalidChangeBatch"`
	Namespace string   `xml:"xmlns,attr"`
	Messages  []string `xml:"Messages>Message"`
	RequestID string   `xml:"RequestId"`
}

// write writes a reply's body, and returns its status.
func write(w io.Writer, reply any, id string) int {
	status := http.StatusOK
	if e, ok := reply.(apiError); ok {
		status = e.status
		text := strings.Join(e.messages, ", ")
		switch {
		case e.code == "":
			io.WriteString(w, text) //nolint:errcheck // into a buffer
			return status
		case e.list:
			reply = batchReply{Namespace: namespace, Messages: e.messages, RequestID: id}
		default:
			if e.code == "InvalidChangeBatch" {
				text = "[" + text + "]"
			}
			reply = errorReply{Namespace: namespace, Type: "Sender", Code: e.code, Message: text, RequestID: id}
		}
	}
	io.WriteString(w, xml.Header)          //nolint:errcheck // into a buffer
	err := xml.NewEncoder(w).Encode(reply) // the types of this package can be encoded
	if err != nil {
		panic(err)
	}
	return status
}

// Set is a record set as the API has it.
type Set struct {
	Name                 string
	Type                 string
	SetIdentifier        string       `xml:",omitempty"`
	Weight               *int64       `xml:",omitempty"`
	Region               string       `xml:",omitempty"`
	GeoLocation          *GeoLocation `xml:",omitempty"`
	Failover             string       `xml:",omitempty"`
	MultiValueAnswer     *bool        `xml:",omitempty"`
	TTL                  *int64       `xml:",omitempty"`
	ResourceRecords      []Value      `xml:"ResourceRecords>ResourceRecord,omitempty"`
	AliasTarget          *AliasTarget `xml:",omitempty"`
	HealthCheckID        string       `xml:"HealthCheckId,omitempty"`
	TrafficPolicy        string       `xml:"TrafficPolicyInstanceId,omitempty"`
	CidrRoutingConfig    *Cidr        `xml:",omitempty"`
	GeoProximityLocation *Proximity   `xml:",omitempty"`
}

// Value is one value of a set.
type Value struct{ Value string }

// AliasTarget is what an alias leads to.
type AliasTarget struct {
	HostedZoneID         string `xml:"HostedZoneId"`
	DNSName              string
	EvaluateTargetHealth bool
}

// GeoLocation is what a geolocation set is for.
type GeoLocation struct {
	ContinentCode string `xml:",omitempty"`
	CountryCode   string `xml:",omitempty"`
}

// Cidr is what a set of IP-based routing is for.
type Cidr struct {
	CollectionID string `xml:"CollectionId"`
	LocationName string
}

// Proximity is where a geoproximity set is.
type Proximity struct {
	AWSRegion string `xml:",omitempty"`
}

// Values makes a set's values.
func Values(texts ...string) []Value {
	out := make([]Value, len(texts))
	for i, t := range texts {
		out[i].Value = t
	}
	return out
}

type changeRequest struct {
	XMLName xml.Name `xml:"ChangeResourceRecordSetsRequest"`
	Comment string   `xml:"ChangeBatch>Comment"`
	Changes []change `xml:"ChangeBatch>Changes>Change"`
}

type change struct {
	Action string
	Set    Set `xml:"ResourceRecordSet"`
}

type changeInfo struct {
	ID          string `xml:"Id"`
	Status      string
	SubmittedAt string
}

type changeReply struct {
	XMLName    xml.Name   `xml:"ChangeResourceRecordSetsResponse"`
	Namespace  string     `xml:"xmlns,attr"`
	ChangeInfo changeInfo `xml:"ChangeInfo"`
}

type getChangeReply struct {
	XMLName    xml.Name   `xml:"GetChangeResponse"`
	Namespace  string     `xml:"xmlns,attr"`
	ChangeInfo changeInfo `xml:"ChangeInfo"`
}

type listReply struct {
	XMLName              xml.Name `xml:"ListResourceRecordSetsResponse"`
	Namespace            string   `xml:"xmlns,attr"`
	ResourceRecordSets   []*Set   `xml:"ResourceRecordSets>ResourceRecordSet"`
	IsTruncated          bool
	MaxItems             int
	NextRecordName       string `xml:",omitempty"`
	NextRecordType       string `xml:",omitempty"`
	NextRecordIdentifier string `xml:",omitempty"`
}

type hostedZone struct {
	ID              string `xml:"Id"`
	Name            string
	CallerReference string
	PrivateZone     bool `xml:"Config>PrivateZone"`
	Count           int  `xml:"ResourceRecordSetCount"`
}

type byNameReply struct {
	XMLName          xml.Name     `xml:"ListHostedZonesByNameResponse"`
	Namespace        string       `xml:"xmlns,attr"`
	HostedZones      []hostedZone `xml:"HostedZones>HostedZone"`
	DNSName          string       `xml:",omitempty"`
	IsTruncated      bool
	NextDNSName      string `xml:",omitempty"`
	NextHostedZoneID string `xml:"NextHostedZoneId,omitempty"`
	MaxItems         int
}

type vpc struct {
	VPCRegion string
	VPCId     string
}

type zoneReply struct {
	XMLName    xml.Name   `xml:"GetHostedZoneResponse"`
	Namespace  string     `xml:"xmlns,attr"`
	HostedZone hostedZone `xml:"HostedZone"`
	VPCs       []vpc      `xml:"VPCs>VPC"`
}

// refusal is one message of an InvalidChangeBatch, in the API's words.
type refusal string

func (r refusal) Error() string { return string(r) }

func refuse(format string, args ...any) error { return refusal(fmt.Sprintf(format, args...)) }
