// Command extract makes the files of package schemas anew: it packs the npm
// packages that sources.json pins, checks their SHA-512, and reads the schemas
// of the types that it lists. npm is asked for the packages as it is configured.
package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"

	"github.com/veerdns/veer/terraform/internal/bindings"
	"github.com/veerdns/veer/terraform/internal/schemas"
)

// wanted is an entry of sources.json.
type wanted struct {
	Address   string   `json:"address"`
	Package   string   `json:"package"`
	Version   string   `json:"version"`
	Integrity string   `json:"integrity"`
	Licence   string   `json:"licence"`
	Resources []string `json:"resources"`
	Data      []string `json:"data"`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "extract:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) != 1 {
		return errors.New("usage: extract FOLDER, the folder of package schemas")
	}
	folder := args[0]
	raw, err := os.ReadFile(filepath.Join(folder, "sources.json"))
	if err != nil {
		return err
	}
	var all map[string]wanted
	if err := json.Unmarshal(raw, &all); err != nil {
		return fmt.Errorf("sources.json: %w", err)
	}
	for name, w := range all {
		p, err := extract(ctx, name, w)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		var out bytes.Buffer
		enc := json.NewEncoder(&out)
		enc.SetIndent("", " ")
		enc.SetEscapeHTML(false)
		if err := enc.Encode(p); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		file := filepath.Join(folder, name+".json")
		if err := os.WriteFile(file, out.Bytes(), 0o644); err != nil {
			return err
		}
		fmt.Printf("%s: %s %s, %d resources, %d data sources, %d bytes\n", file, p.Source.Address, p.Source.Version, len(p.Resources), len(p.DataSources), out.Len())
	}
	return nil
}

func extract(ctx context.Context, name string, w wanted) (*schemas.Provider, error) {
	tarball, err := pack(ctx, w)
	if err != nil {
		return nil, err
	}
	paths := map[string]string{"package/lib/provider/index.js": ""}
	for _, r := range w.Resources {
		paths["package/lib/"+folderOf(name, r, "")+"/index.js"] = r
	}
	for _, d := range w.Data {
		paths["package/lib/"+folderOf(name, d, "data-"+name+"-")+"/index.js"] = "data." + d
	}
	p := &schemas.Provider{
		Source: schemas.Source{
			Address: w.Address, Package: w.Package, PackageVersion: w.Version, Integrity: w.Integrity, Licence: w.Licence,
		},
		Resources: map[string]schemas.Block{}, DataSources: map[string]schemas.Block{},
	}
	found, err := files(tarball, paths)
	if err != nil {
		return nil, err
	}
	for path, typ := range paths {
		js, ok := found[path]
		if !ok {
			return nil, fmt.Errorf("%s is not in %s %s", path, w.Package, w.Version)
		}
		source, err := bindings.Source(js)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		block, err := bindings.Read(source)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if p.Source.Version, err = bindings.Version(source); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		switch data, isData := strings.CutPrefix(typ, "data."); {
		case typ == "":
			p.Config = block
		case isData:
			p.DataSources[data] = block
		default:
			p.Resources[typ] = block
		}
	}
	return p, nil
}

// folderOf is the folder of a type: aws_iam_role is in iam-role, as data source
// in data-aws-iam-role.
func folderOf(provider, typ, prefix string) string {
	return prefix + strings.ReplaceAll(strings.TrimPrefix(typ, provider+"_"), "_", "-")
}

// pack has npm fetch the tarball, and compares its hash with the pinned one.
func pack(ctx context.Context, w wanted) ([]byte, error) {
	dir, err := os.MkdirTemp("", "veer-schemas-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	cmd := exec.CommandContext(ctx, "npm", "pack", "--silent", "--ignore-scripts", w.Package+"@"+w.Version)
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("npm pack %s@%s: %w", w.Package, w.Version, err)
	}
	data, err := os.ReadFile(filepath.Join(dir, filepath.Base(strings.TrimSpace(string(out)))))
	if err != nil {
		return nil, err
	}
	if err := verify(data, w.Integrity); err != nil {
		return nil, fmt.Errorf("%s@%s: %w", w.Package, w.Version, err)
	}
	return data, nil
}

// verify compares the tarball with its pinned hash.
func verify(data []byte, integrity string) error {
	sum := sha512.Sum512(data)
	if got := "sha512-" + base64.StdEncoding.EncodeToString(sum[:]); got != integrity {
		return fmt.Errorf("its integrity is %s, expected %s: it is not the tarball that was pinned", got, integrity)
	}
	return nil
}

// files returns those of the tarball that are wanted.
func files(tarball []byte, want map[string]string) (map[string][]byte, error) {
	zip, err := gzip.NewReader(bytes.NewReader(tarball))
	if err != nil {
		return nil, err
	}
	found := map[string][]byte{}
	for r := tar.NewReader(zip); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return found, nil
		}
		if err != nil {
			return nil, err
		}
		if _, ok := want[h.Name]; !ok {
			continue
		}
		if found[h.Name], err = io.ReadAll(io.LimitReader(r, 64<<20)); err != nil {
			return nil, fmt.Errorf("%s: %w", h.Name, err)
		}
	}
}
