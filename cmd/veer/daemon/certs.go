package daemon

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/veerdns/veer/regions/cluster/certs"
)

// Files of the CA, in the folder that its commands are told.
const (
	caCert = "ca.pem"
	caKey  = "ca.key"
)

// The lives of certificates, where nothing else is asked for.
const (
	CALife   = certs.CALife
	CertLife = certs.LeafLife
)

// ErrCertExists means that a file of a certificate is there already.
var ErrCertExists = certs.ErrExists

// Issued is a certificate that was made, with its files.
type Issued struct {
	Files    []string  `json:"files"`
	Names    []string  `json:"names"`
	NotAfter time.Time `json:"not_after"`
}

// InitCA makes the CA of an owner in a folder, which is made too, for its owner
// alone.
func InitCA(dir, owner string, now time.Time, life time.Duration, replace bool) (Issued, error) {
	pair, err := certs.NewAuthority(owner, now, life)
	if err != nil {
		return Issued{}, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return Issued{}, fmt.Errorf("make the folder of the CA: %w", err)
	}
	return keep(pair, filepath.Join(dir, caCert), filepath.Join(dir, caKey), []string{}, replace)
}

// IssueCert makes the certificate of a region by the CA in a folder, beside it.
func IssueCert(dir, owner, region string, hosts []string, now time.Time, life time.Duration, replace bool) (Issued, error) {
	a, err := certs.ReadAuthority(filepath.Join(dir, caCert), filepath.Join(dir, caKey))
	if err != nil {
		return Issued{}, err
	}
	pair, err := a.Issue(certs.Request{Name: region, Owner: owner, Hosts: hosts, Life: life}, now)
	if err != nil {
		return Issued{}, err
	}
	return keep(pair, filepath.Join(dir, region+".pem"), filepath.Join(dir, region+".key"), hosts, replace)
}

func keep(pair certs.Pair, cert, key string, names []string, replace bool) (Issued, error) {
	if err := certs.WritePair(pair, cert, key, replace); err != nil {
		return Issued{}, err
	}
	return Issued{Files: []string{cert, key}, Names: names, NotAfter: pair.NotAfter.UTC()}, nil
}

// certificatesEvery is how often the daemon logs what is wrong with them.
const certificatesEvery = 24 * time.Hour

// watchCertificates logs at the start, and then every day, what is wrong with
// the certificates of this host, or soon will be.
func (d *daemon) watchCertificates(ctx context.Context) error {
	tick := time.NewTicker(certificatesEvery)
	defer tick.Stop()
	for {
		for _, w := range d.config().CertificateWarnings(time.Now()) {
			d.o.Log.Warn().Str("part", "certificates").Msg(w)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
