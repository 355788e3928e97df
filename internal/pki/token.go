package pki

import (
	"encoding/base64"
	"log/slog"
	"strings"

	"lattice/app"
)

const (
	tokenVersion  = "lat1"
	minSecretSize = 16 // bytes
	maxTokenSize  = 256
)

// base64 with strict decoding, so that a token has one spelling only.
var encoding = base64.RawURLEncoding.Strict()

// A Token is all that somebody needs to trust a brain and to be trusted by it:
// "lat1.", the hash of the CA, ".", a secret. Printing one masks the secret; to
// hand it to a person call Reveal.
type Token struct {
	CA     Hash
	Secret Secret
}

// ParseToken reads what Reveal returned; blanks and newlines around it are
// ignored. Its errors never contain the token.
func ParseToken(s string) (Token, error) {
	s = strings.TrimSpace(s)
	parts := strings.Split(s, ".")
	if len(s) > maxTokenSize || len(parts) != 3 || parts[0] != tokenVersion || strings.ContainsAny(s, "\r\n") { // base64 would skip newlines
		return Token{}, app.Invalid("this is not a token; one looks like %s.….… and is printed by the brain", tokenVersion)
	}
	hash, err := encoding.DecodeString(parts[1])
	if err != nil || len(hash) != len(Hash{}) {
		return Token{}, app.Invalid("the middle part of the token is damaged; copy all of it again")
	}
	secret, err := encoding.DecodeString(parts[2])
	if err != nil || len(secret) < minSecretSize {
		return Token{}, app.Invalid("the last part of the token is damaged; copy all of it again")
	}
	return Token{CA: Hash(hash), Secret: Secret(parts[2])}, nil
}

// Reveal returns the whole token.
func (t Token) Reveal() string { return t.public() + string(t.Secret) }

// String returns the token with its secret masked.
func (t Token) String() string { return t.public() + masked }

// GoString is String.
func (t Token) GoString() string { return t.String() }

// LogValue is String.
func (t Token) LogValue() slog.Value { return slog.StringValue(t.String()) }

// MarshalText refuses to put a secret into a file by accident: it is String.
func (t Token) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

func (t Token) public() string {
	return tokenVersion + "." + encoding.EncodeToString(t.CA[:]) + "."
}

const masked = "****"

// A Secret is text that prints masked. string(s) is the text.
type Secret string

// String returns a mask.
func (Secret) String() string { return masked }

// GoString is String.
func (Secret) GoString() string { return masked }

// LogValue is String.
func (Secret) LogValue() slog.Value { return slog.StringValue(masked) }

// MarshalText is String.
func (Secret) MarshalText() ([]byte, error) { return []byte(masked), nil }
