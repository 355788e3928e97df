package install

import (
	_ "embed" // the units
	"strings"
	"text/template"
)

//go:embed lattice.service.tmpl
var unitText string

// unit returns the unit of the service.
func (p Plan) unit() string {
	t := template.Must(template.New(Unit).Parse(unitText)) // constant, and tested
	var b strings.Builder
	err := t.Execute(&b, map[string]any{
		"What": map[string]string{RoleBrain: "brain", RoleCell: "cell", RoleUp: "brain and cell"}[p.Role],
		"Role": p.Role, "Runs": p.Role != RoleBrain, "Binary": Binary, "Config": Config,
		"DataDir": p.DataDir, "StopTime": p.StopTime,
	})
	if err != nil {
		panic(err) // of the template, not of what it is given
	}
	return b.String()
}
