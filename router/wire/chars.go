package wire

// ID tells header fields that a proxy must know.
type ID uint8

// Fields that say something to a proxy; all others are Other.
const (
	Other ID = iota
	Connection
	ContentLength
	Date
	Expect
	Forwarded
	Host
	HTTP2Settings
	IdempotencyKey // or X-Idempotency-Key
	KeepAlive
	ProxyAuthenticate
	ProxyAuthorization
	ProxyConnection
	TE
	Trailer
	TransferEncoding
	Upgrade
	AppInstance // X-Cf-App-Instance
	Instance    // X-Cf-ApplicationId, -InstanceId, -InstanceIndex
	ForwardedFor
	ForwardedHost
	ForwardedProto
	RequestID
	RequestStart
	Referer
	UserAgent
)

// identify finds a name's ID. Names are compared only with those of the same
// length, mostly none.
func identify(name []byte) ID {
	if len(name) >= len(byLength) {
		return Other
	}
	for _, k := range byLength[len(name)] {
		if equalFold(name, k.name) {
			return k.id
		}
	}
	return Other
}

type known struct {
	name string // lower case
	id   ID
}

// byLength never changes.
var byLength = [20][]known{
	2:  {{"te", TE}},
	4:  {{"host", Host}, {"date", Date}},
	6:  {{"expect", Expect}},
	7:  {{"upgrade", Upgrade}, {"trailer", Trailer}, {"referer", Referer}},
	9:  {{"forwarded", Forwarded}},
	10: {{"user-agent", UserAgent}, {"connection", Connection}, {"keep-alive", KeepAlive}},
	12: {{"x-request-id", RequestID}},
	14: {{"content-length", ContentLength}, {"http2-settings", HTTP2Settings}},
	15: {{"x-forwarded-for", ForwardedFor}, {"x-request-start", RequestStart}, {"x-cf-instanceid", Instance}, {"idempotency-key", IdempotencyKey}},
	16: {{"x-forwarded-host", ForwardedHost}, {"proxy-connection", ProxyConnection}},
	17: {{"x-forwarded-proto", ForwardedProto}, {"transfer-encoding", TransferEncoding}, {"x-cf-app-instance", AppInstance}, {"x-idempotency-key", IdempotencyKey}},
	18: {{"x-cf-applicationid", Instance}, {"x-cf-instanceindex", Instance}, {"proxy-authenticate", ProxyAuthenticate}},
	19: {{"proxy-authorization", ProxyAuthorization}},
}

// equalFold compares with a lower-case ASCII string.
func equalFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// Is reports whether v is the lower-case word, in whatever case.
func Is(v []byte, lower string) bool { return equalFold(v, lower) }

func digit(c byte) bool { return '0' <= c && c <= '9' }

// Tables of RFC 9110's token, field value and RFC 3986's host; they never change.
var (
	tokenChars = set("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
	hostChars  = set("!$%&'()*+,-.:;=[]_~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
	valueChars = values()
)

func set(chars string) (t [256]bool) {
	for i := range len(chars) {
		t[chars[i]] = true
	}
	return t
}

func values() (t [256]bool) {
	for c := range t {
		t[c] = c >= ' ' && c != 0x7f || c == '\t'
	}
	return t
}

func isToken(b []byte) bool {
	for _, c := range b {
		if !tokenChars[c] {
			return false
		}
	}
	return len(b) > 0
}

func isValue(b []byte) bool {
	for _, c := range b {
		if !valueChars[c] {
			return false
		}
	}
	return true
}

func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

// IsHost reports whether b has only characters that a host name, an address or
// a port may have.
func IsHost(b []byte) bool {
	for _, c := range b {
		if !hostChars[c] {
			return false
		}
	}
	return len(b) > 0
}
