package app

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Set changes one option as a person types it: a key as RouteOptionKeys has it
// and a value, or no value to take the option away. Where there can be several
// values each call adds one. Errors are ErrInvalid, and never show a password.
func (o *RouteOptions) Set(key, value string) error {
	set, ok := o.setters()[key]
	if !ok {
		return Invalid("there is no route option %s: there are %s", quote(key), strings.Join(RouteOptionKeys(), ", "))
	}
	if err := set(value); err != nil {
		return Invalid("the route option %s: %s", key, err)
	}
	return nil
}

// RouteOptionKeys returns what Set understands, sorted.
func RouteOptionKeys() []string {
	return slices.Sorted(maps.Keys((&RouteOptions{}).setters()))
}

func (o *RouteOptions) setters() map[string]func(string) error {
	return map[string]func(string) error{
		"protocol":        setText((*string)(&o.Protocol)),
		"balance":         setText((*string)(&o.Balance)),
		"hash-on":         setText(&o.HashOn),
		"sticky":          setText(&o.Sticky),
		"slow-start":      setDuration(&o.SlowStart),
		"max-connections": setNumber(&o.MaxConnections),

		"header-timeout": setDuration(&o.HeaderTimeout),
		"idle-timeout":   setDuration(&o.IdleTimeout),
		"total-timeout":  setDuration(&o.TotalTimeout),

		"retries":    o.setRetries,
		"retry-time": setDuration(&o.RetryTime),

		"rate-limit":        setText(&o.RateLimit),
		"rate-burst":        setNumber(&o.RateBurst),
		"client-rate-limit": setText(&o.ClientRateLimit),
		"client-rate-burst": setNumber(&o.ClientRateBurst),

		"set-request-header":     setField(&o.RequestHeaders, func(h *HeaderRules) *map[string]string { return &h.Set }),
		"add-request-header":     setField(&o.RequestHeaders, func(h *HeaderRules) *map[string]string { return &h.Add }),
		"remove-request-header":  setRemoved(&o.RequestHeaders),
		"set-response-header":    setField(&o.ResponseHeaders, func(h *HeaderRules) *map[string]string { return &h.Set }),
		"add-response-header":    setField(&o.ResponseHeaders, func(h *HeaderRules) *map[string]string { return &h.Add }),
		"remove-response-header": setRemoved(&o.ResponseHeaders),

		"redirect-https": o.setRedirect,
		"basic-auth":     setList(&o.BasicAuth),
		"allow":          setList(&o.Allow),

		"error-page": o.setErrorPage,
	}
}

func setText(to *string) func(string) error {
	return func(value string) error {
		*to = value
		return nil
	}
}

func setDuration(to *Duration) func(string) error {
	return func(value string) error {
		if value == "" {
			*to = 0
			return nil
		}
		return to.UnmarshalText([]byte(value))
	}
}

func setNumber(to *int) func(string) error {
	return func(value string) error {
		n, err := strconv.Atoi(value)
		if value != "" && err != nil {
			return Invalid("%s is no number", quote(value))
		}
		*to = n
		return nil
	}
}

// setList adds to a list; several values may be separated by commas.
func setList(to *[]string) func(string) error {
	return func(value string) error {
		if value == "" {
			*to = nil
			return nil
		}
		for v := range strings.SplitSeq(value, ",") {
			*to = append(*to, strings.TrimSpace(v))
		}
		return nil
	}
}

// setField reads "NAME: VALUE".
func setField(to **HeaderRules, part func(*HeaderRules) *map[string]string) func(string) error {
	return func(value string) error {
		if *to == nil {
			*to = &HeaderRules{}
		}
		fields := part(*to)
		if value == "" {
			*fields = nil
			return nil
		}
		name, text, ok := strings.Cut(value, ":")
		if !ok {
			return Invalid("%s is no header field: write NAME: VALUE", quote(value))
		}
		if *fields == nil {
			*fields = map[string]string{}
		}
		(*fields)[strings.TrimSpace(name)] = strings.TrimSpace(text)
		return nil
	}
}

func setRemoved(to **HeaderRules) func(string) error {
	return func(value string) error {
		if *to == nil {
			*to = &HeaderRules{}
		}
		return setList(&(*to).Remove)(value)
	}
}

func (o *RouteOptions) setRetries(value string) error {
	if value == "" {
		o.Retries = nil
		return nil
	}
	n := 0
	if err := setNumber(&n)(value); err != nil {
		return err
	}
	o.Retries = &n
	return nil
}

// setErrorPage reads "CODE:HTML".
func (o *RouteOptions) setErrorPage(value string) error {
	if value == "" {
		o.ErrorPages = nil
		return nil
	}
	of, page, ok := strings.Cut(value, ":")
	if !ok {
		return Invalid("%s is no error page: write CODE:HTML or CODE:@FILE with a code such as 503, 4xx, 5xx or error", quote(value))
	}
	if o.ErrorPages == nil {
		o.ErrorPages = map[string]string{}
	}
	o.ErrorPages[of] = page
	return nil
}

func (o *RouteOptions) setRedirect(value string) error {
	on, err := strconv.ParseBool(value)
	if value != "" && err != nil {
		return Invalid("%s is not true or false", quote(value))
	}
	o.RedirectHTTPS = on
	return nil
}
