package install

import (
	"fmt"
	"strconv"
	"strings"
)

// config returns the configuration file.
func (p Plan) config() string {
	var b strings.Builder
	b.WriteString("# Written by `lattice install " + p.Role + "`, which keeps what you change here;\n" +
		"# `lattice config " + p.Role + " --config " + Config + "` shows what comes of it.\n" +
		"# `systemctl restart lattice` takes changes over; apps go on.\n")
	settings := p.Settings
	if p.Join != nil {
		settings = append(settings[:len(settings):len(settings)], Pair{"join", p.Join.Brain}, Pair{"token-file", Token})
	}
	for _, s := range settings {
		fmt.Fprintf(&b, "%s: %s\n", s.Key, strconv.Quote(s.Value)) // YAML has JSON's quotes
	}
	return b.String()
}
