package config

import "github.com/veerdns/veer/providers/authority"

// cookieSecrets looks at the secrets that a provider's cookies are made with.
func (l *loader) cookieSecrets(c *authority.Config, path string) {
	if c.Cookies.SecretFile != "" {
		path += ".secret_file"
	} else if c.Cookies.SecretEnv != "" {
		path += ".secret_env"
	}
	if !l.clean(path) {
		return
	}
	if err := c.Cookies.ReadSecrets(); err != nil {
		l.bad(path, "the secrets are not valid: "+oneLine(err.Error()), "secrets of 32 hexadecimal digits, the one that makes cookies first", "make one with: openssl rand -hex 16")
	}
}
