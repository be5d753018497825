package config

import (
	"fmt"
	"slices"

	"github.com/veerdns/veer/providers/authority"
)

// zone makes a zone's name canonical and reads its file, which it returns if
// it is valid.
func (l *loader) zone(z *authority.Zone, path string) *authority.ZoneFile {
	if !l.has(path+".name") || !l.has(path+".file") || !l.clean(path) {
		return nil
	}
	name, err := canonical(z.Name)
	if err != nil {
		l.bad(path+".name", err.Error(), "a DNS name, like example.test", "")
		return nil
	}
	z.Name = name
	file, err := authority.ReadZone(*z)
	if err != nil {
		l.bad(path+".file", "the zone file is not valid: "+oneLine(err.Error()), "an RFC 1035 master file for "+name, "")
		return nil
	}
	return file
}

// zoneFiles reads the zone files of an authority, and checks them against each
// other.
func (l *loader) zoneFiles(p Provider, path string) {
	var files []*authority.ZoneFile
	for i := range p.Authority.Zones {
		if file := l.zone(&p.Authority.Zones[i], fmt.Sprintf("%s.zones[%d]", path, i)); file != nil {
			files = append(files, file)
		}
	}
	if err := authority.CheckZones(files); err != nil {
		l.bad(path+".zones", oneLine(err.Error()), "zones that can be served together", "")
	}
	if l.files == nil {
		l.files = map[string][]*authority.ZoneFile{}
	}
	l.files[p.Name] = files
}

// overlaid refuses a service that an authority could not lay over its zone: the
// server would only find out when it starts.
func (l *loader) overlaid(s *Service, path string) {
	if s.Name == "" || !l.clean(path) {
		return
	}
	for _, name := range s.Providers {
		p, _ := l.c.Providers.find(name)
		zone := p.Zone(s.Name)
		for _, file := range l.files[name] {
			if file.Name != zone {
				continue
			}
			if err := file.CheckService(s.Name, s.types()...); err != nil {
				l.bad(path+".name", oneLine(err.Error()), "a name that the zone leaves to the service", "")
			}
		}
	}
}

// types are the record types that the service's endpoints make, each once.
func (s *Service) types() []string {
	var types []string
	add := func(endpoint string) {
		_, typ, _ := s.address(endpoint)
		if !slices.Contains(types, typ) {
			types = append(types, typ)
		}
	}
	for _, p := range s.Pools {
		for _, e := range p.Endpoints {
			add(e)
		}
	}
	return types
}
