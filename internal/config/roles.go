package config

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

const (
	maxTokenFile = 4 << 10 // bytes

	MaxEvacuateTimeout = time.Hour // bounds CellConfig.EvacuateTimeout

	maxInFlight = 1_000_000 // of starts
	maxCPUs     = 10_000

	maxImageAge = 10 * 365 * 24 * time.Hour

	minCertificateLife = 5 * time.Second
	maxCertificateLife = 365 * 24 * time.Hour
)

func (r *reader) common() Common {
	c := Common{
		DataDir: r.dir("data-dir"),
		Gossip:  r.listen("gossip", false),
	}
	if c.StateDir = r.dir("state-dir"); c.StateDir == "" {
		hash := sha256.Sum256([]byte(c.DataDir))
		c.StateDir = fmt.Sprintf("/run/lattice/%x", hash[:4])
		r.detected("state-dir", c.StateDir)
	}
	c.Advertise = r.advertise(c.Gossip)
	c.ImageAge = r.duration("image-age", time.Minute, maxImageAge)
	if c.ImageDisk = r.number("image-disk", 100); c.ImageDisk == 0 {
		r.wrong("image-disk", "0 is no share of a disk to be used: write 1 to 100")
	}
	if err := c.LogLevel.UnmarshalText([]byte(r.text("log-level"))); err != nil {
		c.LogLevel = slog.LevelInfo
		r.wrong("log-level", "%q is not debug, info, warn or error", r.values["log-level"])
	}
	if c.LogFormat = r.text("log-format"); c.LogFormat != "text" && c.LogFormat != "json" {
		r.wrong("log-format", "%q is not text or json", c.LogFormat)
	}
	return c
}

func (r *reader) brain(common Common) BrainConfig {
	b := BrainConfig{
		Common: common,
		API:    r.listen("api", false),
		Domain: strings.ToLower(r.text("domain")),

		Router: r.router(),

		CertificateLife: r.duration("certificate-life", minCertificateLife, maxCertificateLife),

		MaxStarts:        r.number("max-starts", maxInFlight),
		MaxStartsPerCell: r.number("max-starts-per-cell", maxInFlight),
		Rebalance:        r.truth("rebalance"),

		MaxBuildSourceMB: r.number("max-build-source-mb", 1<<20),
	}
	switch how := r.text("placement"); how {
	case "spread", "pack":
		b.Pack = how == "pack"
	default:
		r.wrong("placement", "%q is not spread or pack", how)
	}
	if !isDomain(b.Domain) {
		r.wrong("domain", "%q is not a domain; write it like apps.example.com", b.Domain)
	}
	r.distinct("api", b.API, "gossip", b.Gossip)
	r.distinct("api", b.API, "http", b.Router.HTTP)
	r.distinct("gossip", b.Gossip, "http", b.Router.HTTP)
	r.distinct("https", b.Router.HTTPS, "api", b.API)
	if b.SSH = r.text("ssh"); b.SSH != "" && b.SSH != SSHOff {
		b.SSH = r.listen("ssh", true)
		r.distinct("ssh", b.SSH, "api", b.API)
		r.distinct("ssh", b.SSH, "gossip", b.Gossip)
		r.distinct("ssh", b.SSH, "http", b.Router.HTTP)
		r.distinct("ssh", b.SSH, "https", b.Router.HTTPS)
	}
	return b
}

func (r *reader) cell(common Common) CellConfig {
	c := CellConfig{
		Common:        common,
		ID:            r.text("cell-id"),
		Zone:          r.text("zone"),
		Labels:        r.labels(),
		MemoryMB:      r.number("memory-mb", math.MaxInt32),
		DiskMB:        r.number("disk-mb", math.MaxInt32),
		CPUs:          r.number("cpus", maxCPUs),
		MaxContainers: r.number("max-containers", 10_000),

		AllowPrivileged: r.truth("allow-privileged"),

		EvacuateOnStop:  r.truth("evacuate-on-stop"),
		EvacuateTimeout: r.duration("evacuate-timeout", time.Second, MaxEvacuateTimeout),

		BuildCacheMB: r.number("build-cache-mb", math.MaxInt32),
		Containerd:   r.text("containerd-address"),
	}
	if c.Layers = r.text("layers"); c.Layers != Off {
		c.Layers = r.listen("layers", false)
		r.distinct("layers", c.Layers, "gossip", c.Gossip)
	}
	if c.ID == "" {
		c.ID = hostID()
		r.detected("cell-id", c.ID)
	}
	if !isID(c.ID) {
		r.wrong("cell-id", "%q is not a name of lower-case letters, digits and hyphens, at most 63", c.ID)
	}
	if !isLabel(c.Zone) {
		r.wrong("zone", "%q is not a name of letters, digits and . _ -, at most 63", c.Zone)
	}
	r.capacity(&c)
	return c
}

// ingress reads what a cell needs that has its brain elsewhere and is a router.
func (r *reader) ingress(c *CellConfig) {
	router := r.router()
	if r.truth("router") {
		r.distinct("gossip", c.Gossip, "http", router.HTTP)
		c.Router = &router
		return
	}
	for _, o := range routerOptions() {
		if o.roles&roleCell != 0 && r.flags.Changed(o.key) {
			r.wrong(o.key, "a cell is a router with --router only: add that, or leave --%s out", o.key)
		}
	}
}

// capacity finds out what wasn't given.
func (r *reader) capacity(c *CellConfig) {
	if c.MemoryMB == 0 {
		c.MemoryMB = totalMemoryMB()
		r.detected("memory-mb", strconv.Itoa(c.MemoryMB))
	}
	if c.DiskMB == 0 {
		c.DiskMB = freeDiskMB(c.DataDir)
		r.detected("disk-mb", strconv.Itoa(c.DiskMB))
	}
	if c.CPUs == 0 {
		c.CPUs = runtime.NumCPU()
		r.detected("cpus", strconv.Itoa(c.CPUs))
	}
	for key, mb := range map[string]int{"memory-mb": c.MemoryMB, "disk-mb": c.DiskMB} {
		if mb == 0 {
			r.wrong(key, "can't find out how much there is; say it")
		}
	}
	if c.MaxContainers == 0 {
		r.wrong("max-containers", "a cell without containers is of no use; give at least 1")
	}
}

// join reads what a cell needs that has its brain elsewhere. Address and token
// may both be left out by a cell that has joined before.
func (r *reader) join(c *CellConfig) {
	if c.Join = r.text("join"); c.Join != "" {
		host, port, ok := hostPort(c.Join)
		if !ok {
			r.wrong("join", "%q is not an address; write it as host or host:port", c.Join)
		}
		c.Join = net.JoinHostPort(host, port)
		r.values["join"] = c.Join
	}
	c.Token = r.secret("token")
	path := r.text("token-file")
	switch {
	case c.Token != "" && path != "":
		r.wrong("token", "both token and token-file are given; leave one out")
	case path != "":
		c.Token = r.tokenFile(path)
	case c.Token == "" && c.Join != "":
		r.wrong("token", "a cell needs the cluster's join token; give --token-file FILE, LATTICE_TOKEN or --token TOKEN")
	}
	if c.Join == "" && (c.Token != "" || path != "") {
		r.wrong("join", "a cell needs the address of a brain; give --join HOST")
	}
}

func (r *reader) tokenFile(path string) Secret {
	info, err := os.Stat(path)
	if err == nil && info.Size() > maxTokenFile {
		err = errors.New("too big for a token")
	}
	var b []byte
	if err == nil {
		b, err = os.ReadFile(path)
	}
	if err == nil && strings.TrimSpace(string(b)) == "" {
		err = errors.New("the file is empty")
	}
	if err != nil {
		r.wrong("token-file", "can't read the join token: %v", err)
	}
	return Secret(strings.TrimSpace(string(b)))
}

// advertise prefers the address gossip is bound to.
func (r *reader) advertise(gossip string) string {
	if s := r.text("advertise"); s != "" {
		if ip, err := netip.ParseAddr(s); err != nil || ip.IsUnspecified() {
			r.wrong("advertise", "%q is not the ip of an interface", s)
		}
		return s
	}
	ip := hostAddress()
	if host, _, err := net.SplitHostPort(gossip); err == nil {
		if bound, err := netip.ParseAddr(host); err == nil && !bound.IsUnspecified() {
			ip = host
		}
	}
	r.detected("advertise", ip)
	return ip
}

func (r *reader) dir(key string) string {
	s := r.text(key)
	if s == "" {
		if key == "data-dir" {
			r.wrong(key, "a folder is needed")
		}
		return ""
	}
	abs, err := filepath.Abs(s)
	if err != nil {
		r.wrong(key, "%q: %v", s, err)
	}
	r.values[key] = abs
	return abs
}
