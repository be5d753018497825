package config

import (
	"path/filepath"
	"strings"

	"github.com/veerdns/veer/providers/authority"
)

// ZoneReport is what CheckZone found. The same checks run when the authority
// starts and reloads.
type ZoneReport struct {
	File     string   `json:"file"`
	Zone     string   `json:"zone"`
	Valid    bool     `json:"valid"`
	Serial   uint32   `json:"serial"`
	Records  int      `json:"records"`
	Hash     string   `json:"hash"`
	Problems []string `json:"problems"`
}

// CheckZone reads a zone's file. Without an origin the zone has the file's
// name, less ".zone", ".db" or a leading "db.".
func CheckZone(file, origin string) ZoneReport {
	if origin == "" {
		base := strings.TrimPrefix(filepath.Base(file), "db.")
		origin = strings.TrimSuffix(strings.TrimSuffix(base, ".zone"), ".db")
	}
	r := ZoneReport{File: file, Zone: origin, Problems: []string{}}
	name, err := canonical(origin)
	if err != nil {
		r.Problems = []string{"zone " + quote(origin) + ": " + err.Error() + "; expected a DNS name, like example.test"}
		return r
	}
	r.Zone = name
	z, err := authority.ReadZone(authority.Zone{Name: name, File: file})
	if err != nil {
		r.Problems = strings.Split(strings.TrimPrefix(err.Error(), "zone "+name+": "), "\n")
		return r
	}
	r.Valid, r.Serial, r.Records, r.Hash = true, z.Serial(), z.Records(), z.Hash
	return r
}
