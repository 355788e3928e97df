package manifest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
)

// A printer writes JSON as YAML, in the order it has. Texts that could be read
// as anything else are quoted as JSON quotes them, which every reader of YAML
// understands.
type printer struct {
	dec *json.Decoder
	out *bytes.Buffer
}

// asYAML returns the YAML of an object in JSON.
func asYAML(data []byte) ([]byte, error) {
	p := printer{json.NewDecoder(bytes.NewReader(data)), new(bytes.Buffer)}
	p.dec.UseNumber()
	if err := p.value("", ""); err != nil {
		return nil, err
	}
	return p.out.Bytes(), nil
}

// value writes the next value. Before the first line of a group it writes lead,
// before the others indent.
func (p printer) value(lead, indent string) error {
	token, err := p.dec.Token()
	if err != nil {
		return err
	}
	switch t := token.(type) {
	case json.Delim:
		return p.group(t, lead, indent)
	case string:
		p.out.WriteString(" " + quoted(t))
	case nil:
	default:
		fmt.Fprintf(p.out, " %v", t)
	}
	p.out.WriteByte('\n')
	return nil
}

// group writes a list or an object, of which the first brace is read.
func (p printer) group(open json.Delim, lead, indent string) error {
	if !p.dec.More() {
		p.out.WriteString(map[json.Delim]string{'{': " {}\n", '[': " []\n"}[open])
	}
	for p.dec.More() {
		p.out.WriteString(lead)
		lead = indent
		if err := p.member(open, indent); err != nil {
			return err
		}
	}
	_, err := p.dec.Token() // the last brace
	return err
}

func (p printer) member(open json.Delim, indent string) error {
	if open == '[' {
		p.out.WriteByte('-')
		return p.value(" ", indent+"  ")
	}
	name, err := p.dec.Token()
	if err != nil {
		return err
	}
	p.out.WriteString(quoted(fmt.Sprint(name)) + ":")
	return p.value("\n"+indent+"  ", indent+"  ")
}

// plain are texts that nobody takes for a number, a date or a word of YAML.
var plain = regexp.MustCompile(`^[A-Za-z/_][A-Za-z0-9_./@-]*(:[A-Za-z0-9_./@-]+)*$`)

// words mean something else without quotes, to one reader or another.
var words = regexp.MustCompile(`(?i)^(y|n|yes|no|on|off|true|false|null|nan|inf)$`)

func quoted(s string) string {
	if plain.MatchString(s) && !words.MatchString(s) {
		return s
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		return strconv.Quote(s) // never: every text can be encoded
	}
	return string(bytes.TrimSpace(b.Bytes()))
}
