package daemon_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/veerdns/veer"

// pure are the packages of the standard library alone, each with the pure
// packages that it may import: checks <- regions <- steering -> providers.
var pure = map[string][]string{
	"checks":           nil,
	"providers":        nil,
	"regions":          {"checks"},
	"regions/steering": {"checks", "regions", "providers"},
}

// impure are parts of the standard library that a pure package may not import,
// since they do I/O, log, or are random.
var impure = []string{
	"os", "io/fs", "io/ioutil", "log", "log/slog", "net", "net/http", "os/exec", "os/signal",
	"syscall", "math/rand", "math/rand/v2", "crypto/rand", "database/sql", "testing",
}

// vendors may be imported only in the packages below the prefixes.
var vendors = map[string][]string{
	"go.etcd.io/":               {"regions/cluster"},
	"github.com/oschwald/":      {"providers/authority"},
	"github.com/miekg/dns":      {"checks/dnscheck", "providers/authority", "providers/rfc2136", "cmd/"},
	"github.com/aws/":           {"providers/route53"},
	"github.com/cloudflare/":    {"providers/cloudflare"},
	"golang.org/x/net/icmp":     {"checks/icmpcheck"},
	"google.golang.org/grpc":    {"regions/cluster", "checks/grpccheck"},
	"github.com/goccy/go-yaml":  {"cmd/veer"},
	"github.com/spf13/":         {"cmd/veer"},
	"github.com/prometheus/":    {"cmd/veer/metrics"},
	"github.com/wneessen/":      {"cmd/veer/notify"},
	"github.com/jackc/":         {"checks/sqlcheck"},
	"github.com/go-sql-driver/": {"checks/sqlcheck"},
	// Tests, and the packages that serve them, only.
	"pgregory.net/rapid":           nil,
	"github.com/cockroachdb/":      nil,
	"github.com/rogpeppe/":         nil,
	"github.com/google/go-cmp/cmp": nil,
}

// kind names what a package of this module is.
func kind(pkg string) string {
	_, isPure := pure[pkg]
	parts := strings.Split(pkg, "/")
	switch {
	case isPure:
		return "pure"
	case pkg == "regions/prober" || pkg == "regions/controller":
		return "loop"
	case strings.HasSuffix(pkg, "test") && len(parts) > 1 && parts[0] != "cmd":
		return "test"
	case slices.Contains(parts, "internal"):
		return "internal"
	case pkg == "cmd/veer/notify" || pkg == "cmd/veer/journalout" || parts[0] == "checks" || parts[0] == "providers" || pkg == "regions/cluster" || pkg == "regions/cluster/certs":
		return "adapter"
	case parts[0] == "cmd":
		return "cmd"
	}
	return "unplaced"
}

// verdict says why one package may not import another, or "".
func verdict(from, to string) string {
	own, ours := strings.CutPrefix(to, module+"/")
	if !ours {
		return verdictOutside(from, to)
	}
	to = own
	if kind(to) == "test" && kind(from) != "test" {
		return "is for tests only"
	}
	switch kind(from) {
	case "pure":
		if !slices.Contains(pure[from], to) {
			return fmt.Sprintf("a pure package may import %v of this module", pure[from])
		}
	case "loop":
		if kind(to) != "pure" {
			return "the loops import pure packages and declare the interfaces that they need"
		}
	case "adapter", "internal":
		return verdictAdapter(from, to)
	case "test":
		if kind(to) == "cmd" {
			return "nothing below cmd is imported from outside it"
		}
	case "cmd":
		return verdictCmd(from, to)
	default:
		return "the importing package has no place in the design"
	}
	return ""
}

func verdictOutside(from, to string) string {
	for prefix, places := range vendors {
		forTests := places == nil && kind(from) == "test"
		if strings.HasPrefix(to, prefix) && !forTests && !slices.ContainsFunc(places, func(p string) bool { return strings.HasPrefix(from+"/", p) }) {
			return fmt.Sprintf("only %v may import it", places)
		}
	}
	if kind(from) != "pure" {
		return ""
	}
	if first, _, _ := strings.Cut(to, "/"); strings.Contains(first, ".") {
		return "a pure package imports the standard library only"
	}
	if slices.Contains(impure, to) {
		return "a pure package does no I/O, logs nothing and is not random"
	}
	return ""
}

func verdictAdapter(from, to string) string {
	root, _, _ := strings.Cut(from, "/")
	switch kind(to) {
	case "pure":
		return ""
	case "internal":
		if strings.HasPrefix(to, root+"/") {
			return ""
		}
	case "loop":
		if from == "regions/cluster" {
			return ""
		}
		return "only cluster implements the ports of prober and controller"
	}
	return "adapters import pure packages, never each other"
}

func verdictCmd(from, to string) string {
	composes := from == "cmd/veer/daemon" || from == "cmd/veer/config"
	switch {
	case kind(to) == "adapter" && !composes:
		return "only daemon, and config for the Config types, import adapters"
	case kind(to) == "adapter":
		return ""
	case kind(to) == "internal" && !strings.HasPrefix(to, "cmd/"):
		return "internal packages belong to the adapters beside them"
	case to == "cmd/veer/daemon" && from != "cmd/veer":
		return "only the command imports the daemon"
	case to == "cmd/veer/tutorial" && from == "cmd/veer":
		return ""
	case to == "cmd/veer/daemon" || to == "cmd/veer/config" || to == "cmd/veer/api" || to == "cmd/veer/metrics":
		return ""
	case strings.HasPrefix(to, "cmd/veer"):
		return "nothing imports a command"
	}
	return ""
}

// root is the module's folder.
func root(t *testing.T) string {
	dir, err := os.Getwd()
	for err == nil {
		if _, missing := os.Stat(filepath.Join(dir, "go.mod")); missing == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			break
		}
		dir = filepath.Dir(dir)
	}
	t.Fatalf("no go.mod above the test: %v", err)
	return ""
}

// sources calls f with every Go file that is not a test's.
func sources(t *testing.T, f func(pkg string, file *ast.File, set *token.FileSet)) {
	top := root(t)
	set := token.NewFileSet()
	err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); path != top && (strings.HasPrefix(name, ".") || name == "testdata" || name == "bin") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(top, filepath.Dir(path))
		if err != nil {
			return err
		}
		f(filepath.ToSlash(rel), file, set)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestImports holds the directions of imports (DESIGN, section 1).
func TestImports(t *testing.T) {
	packages, edges := map[string]bool{}, 0
	sources(t, func(pkg string, file *ast.File, set *token.FileSet) {
		packages[pkg] = true
		for _, i := range file.Imports {
			to, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			edges++
			if why := verdict(pkg, to); why != "" {
				t.Errorf("%s: %s must not import %s: %s", set.Position(i.Pos()), pkg, to, why)
			}
		}
	})
	for _, must := range []string{"checks", "regions", "regions/steering", "providers", "regions/controller", "cmd/veer/daemon"} {
		if !packages[must] {
			t.Errorf("package %s was not looked at", must)
		}
	}
	t.Logf("%d packages, %d imports", len(packages), edges)
}

// TestPureTime holds the clock out of the pure packages.
func TestPureTime(t *testing.T) {
	sources(t, func(pkg string, file *ast.File, set *token.FileSet) {
		if kind(pkg) != "pure" {
			return
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok && readsClock(s) {
				t.Errorf("%s: %s reads the clock: time.%s", set.Position(n.Pos()), pkg, s.Sel.Name)
			}
			return true
		})
	})
}

func readsClock(s *ast.SelectorExpr) bool {
	x, ok := s.X.(*ast.Ident)
	return ok && x.Name == "time" && slices.Contains([]string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick"}, s.Sel.Name)
}

// TestImportsCatches plants wrong imports, and right ones, before the rule.
func TestImportsCatches(t *testing.T) {
	for _, c := range []struct {
		from, to string
		wrong    bool
	}{
		{"checks", module + "/regions", true},
		{"regions", module + "/checks", false},
		{"regions", module + "/providers", true},
		{"regions", module + "/regions/steering", true},
		{"regions/steering", module + "/providers", false},
		{"regions/steering", module + "/regions/controller", true},
		{"providers", module + "/checks", true},
		{"regions/steering", "github.com/rs/zerolog", true},
		{"regions/steering", "net/netip", false},
		{"regions/steering", "net", true},
		{"checks", "log/slog", true},
		{"checks/httpcheck", module + "/checks/tcpcheck", true},
		{"checks/httpcheck", module + "/checks/internal/dial", false},
		{"checks/httpcheck", module + "/regions/prober", true},
		{"providers/authority", module + "/checks/internal/dial", true},
		{"providers/authority", module + "/regions/steering", false},
		{"providers/route53", module + "/providers/authority", true},
		{"providers/route53", "github.com/aws/aws-sdk-go-v2/aws", false},
		{"regions/controller", "github.com/aws/aws-sdk-go-v2/aws", true},
		{"regions/cluster", module + "/regions/controller", false},
		{"regions/cluster", module + "/regions/prober", false},
		{"regions/cluster", module + "/providers/authority", true},
		{"regions/cluster", "go.etcd.io/etcd/client/v3", false},
		{"regions/controller", "go.etcd.io/etcd/client/v3", true},
		{"regions/cluster", module + "/regions/cluster/certs", true},
		{"cmd/veer", module + "/regions/cluster/certs", true},
		{"cmd/veer/config", module + "/regions/cluster/certs", false},
		{"regions/controller", module + "/regions/cluster", true},
		{"regions/controller", module + "/regions/prober", true},
		{"regions/prober", module + "/checks/httpcheck", true},
		{"regions/prober", module + "/regions/regionstest", true},
		{"cmd/veer", module + "/regions/cluster", true},
		{"cmd/veer", module + "/checks/httpcheck", true},
		{"cmd/veer", module + "/cmd/veer/daemon", false},
		{"cmd/veer/config", module + "/checks/httpcheck", false},
		{"cmd/veer/config", module + "/cmd/veer/daemon", true},
		{"cmd/veer/daemon", module + "/regions/cluster", false},
		{"cmd/veer/daemon", module + "/checks/internal/dial", true},
		{"cmd/veer/daemon", module + "/cmd/veer", true},
		{"cmd/veer/daemon", module + "/cmd/veer/notify", false},
		{"cmd/veer/config", module + "/cmd/veer/journalout", false},
		{"cmd/veer", module + "/cmd/veer/journalout", true},
		{"cmd/veer/notify", module + "/regions/steering", false},
		{"cmd/veer/notify", module + "/regions/controller", true},
		{"cmd/veer/notify", module + "/cmd/veer/journalout", true},
		{"cmd/veer/daemon", "github.com/wneessen/go-mail", true},
		{"regions/controller", module + "/cmd/veer/api", true},
		{"regions/regionstest", "pgregory.net/rapid", false},
		{"regions/steering", "pgregory.net/rapid", true},
		{"regions/other", module + "/checks", true},
	} {
		if why := verdict(c.from, c.to); (why != "") != c.wrong {
			t.Errorf("%s -> %s: wrong %v, the rule says %q", c.from, c.to, c.wrong, why)
		}
	}
}
