package images

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/distribution/distribution/v3"
	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/handlers"
	"github.com/distribution/distribution/v3/registry/storage"
	"github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/distribution/distribution/v3/registry/storage/driver/filesystem"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	"github.com/sirupsen/logrus"

	"lattice/app"
)

// Config is what a Registry needs. All of it is needed.
type Config struct {
	Dir      string // for layers and manifests
	Settings *Settings
	Log      *slog.Logger

	// Authorize returns why a request is refused, or nil. Push says that it
	// would change something.
	Authorize func(r *http.Request, push bool) error

	// Cell returns which cell asks; "" for a user. Peers returns, of those cells,
	// where the ones that are there give layers to others, as app.LayersHeader has
	// it.
	Cell  func(r *http.Request) string
	Peers func(cells []string) []string

	// Age is after which what came from elsewhere and nobody needs is deleted, and
	// sooner while Full says so.
	Age  time.Duration
	Full func() bool

	// InUse returns the apps that need an image, by Key.
	InUse func() map[string][]string

	// Built returns how the image that a request pushes was built; nil: it
	// wasn't, or nobody knows.
	Built func(r *http.Request) *app.BuiltImage
}

// Key names an image among all that apps use.
func Key(image, digest string) string {
	r, err := parse(image)
	if err != nil {
		return ""
	}
	return r.stored() + "@" + digest
}

// A Registry is the brain's. It is an http.Handler for /v2/.
type Registry struct {
	cfg   Config
	store distribution.Namespace
	disk  driver.StorageDriver
	serve *handlers.App

	came    atomic.Int64   // when the last blob had come, in Unix nanoseconds
	keeping sync.Mutex     // held while a blob is kept: one at a time, beside the work of the brain
	running sync.WaitGroup // fetches, until base ends
	base    context.Context
	stop    context.CancelFunc

	// sweeping is held for writing while what nobody needs is deleted, and for
	// reading while somebody pulls or pushes. A writer only tries: one that waits
	// would keep readers out.
	sweeping sync.RWMutex

	mu      sync.Mutex        // guards what follows
	open    map[string]opened // by source.key
	fetches map[string]*fetch
	held    map[string][]holder  // by digest of a layer
	used    map[string]time.Time // when an image was last asked for, by its Key
	built   map[string]app.BuiltImage
}

// Open reads what is in the folder.
func Open(cfg Config) (*Registry, error) {
	quiet := logrus.StandardLogger() // the library logs to this only
	quiet.SetOutput(io.Discard)
	root := filepath.Join(cfg.Dir, storageRoot)
	c := &configuration.Configuration{Storage: configuration.Storage{
		"filesystem": {"rootdirectory": root},
		"delete":     {"enabled": true},
		"redirect":   {"disable": true},
		"maintenance": {"uploadpurging": map[any]any{
			"enabled": true, "age": "24h", "interval": "6h", "dryrun": false,
		}},
	}}
	c.Log.AccessLog.Disabled = true
	c.Validation.Manifests.Indexes.Platforms = "none" // of many platforms only ours is fetched
	c.Catalog.MaxEntries = 1000
	disk := filesystem.New(filesystem.DriverParameters{RootDirectory: root, MaxThreads: 100})
	ns, err := storage.NewRegistry(context.Background(), disk, storage.EnableDelete)
	if err != nil {
		return nil, fmt.Errorf("open the registry in %s: %w", root, err)
	}
	r := &Registry{
		cfg: cfg, store: ns, disk: disk, serve: handlers.NewApp(context.Background(), c),
		open: map[string]opened{}, fetches: map[string]*fetch{}, held: map[string][]holder{}, used: map[string]time.Time{},
		built: map[string]app.BuiltImage{},
	}
	r.base, r.stop = context.WithCancel(context.Background())
	err = os.RemoveAll(r.incoming()) // of a process that was ended
	if err == nil {
		err = os.MkdirAll(r.incoming(), 0o700)
	}
	return r, errors.Join(err, r.loadUses(), r.loadBuilt())
}

// Close ends what goes on in the background.
func (r *Registry) Close() error {
	r.stop()
	r.running.Wait()
	return r.serve.Shutdown()
}

// repository returns the store of one repository.
func (r *Registry) repository(ctx context.Context, name string) (distribution.Repository, error) {
	named, err := reference.WithName(name)
	if err != nil {
		return nil, app.Invalid("%.200q is no name of an image: %v", name, err)
	}
	return r.store.Repository(ctx, named)
}

// has reports whether the manifest is here.
func (r *Registry) has(ctx context.Context, name, dgst string) bool {
	repo, err := r.repository(ctx, name)
	if err != nil {
		return false
	}
	ms, err := repo.Manifests(ctx)
	if err != nil {
		return false
	}
	ok, err := ms.Exists(ctx, digest.Digest(dgst))
	return err == nil && ok
}

// keep stores a manifest, and what its tag leads to.
func (r *Registry) keep(ctx context.Context, x ref, body []byte, kind string) (dgst string, err error) {
	m, d, err := distribution.UnmarshalManifest(kind, body)
	if err != nil {
		return "", fmt.Errorf("its manifest can't be read: %w", err)
	}
	if x.digest != "" && d.Digest.String() != x.digest {
		return "", fmt.Errorf("what came is %s and not what was asked for", d.Digest)
	}
	repo, err := r.repository(ctx, x.stored())
	if err != nil {
		return "", err
	}
	ms, err := repo.Manifests(ctx, storage.SkipLayerVerification())
	if err != nil {
		return "", err
	}
	if _, err := ms.Put(ctx, m); err != nil {
		return "", err
	}
	if x.digest == "" {
		err = repo.Tags(ctx).Tag(ctx, x.tag, d)
	}
	return d.Digest.String(), err
}

// tagged returns what a tag led to when we last knew; "" if we never did.
func (r *Registry) tagged(ctx context.Context, x ref) string {
	repo, err := r.repository(ctx, x.stored())
	if err != nil {
		return ""
	}
	d, err := repo.Tags(ctx).Get(ctx, x.tag)
	if err != nil || !r.has(ctx, x.stored(), d.Digest.String()) {
		return ""
	}
	return d.Digest.String()
}

// resolveTime bounds the question what a tag means. It is less than what clients
// wait for an answer.
const resolveTime = 25 * time.Second

// Resolve returns the digest that an image's name stands for now. When its
// registry can't say, what it stood for when it was last asked counts. A login that
// is given must be good for the image. Errors that are the image's or the
// registry's fault are ErrImage.
func (r *Registry) Resolve(ctx context.Context, image string, as app.Login) (dgst string, err error) {
	x, err := parse(image)
	if err != nil {
		return "", err
	}
	if !r.cfg.Settings.allows(x) {
		return "", app.Invalid("the image %s may not run here: 'ltc registry allowed' lists what may", image)
	}
	r.sweeping.RLock()
	defer r.sweeping.RUnlock()
	ctx, cancel := context.WithTimeout(ctx, resolveTime)
	defer cancel()
	switch {
	case x.host == "" && as.Username != "":
		return "", app.Invalid("the image %s is in the cluster's own registry: it needs no login", image)
	case x.host == "" && x.digest != "" && r.has(ctx, x.repo, x.digest):
		dgst = x.digest
	case x.host == "":
		if dgst = r.tagged(ctx, x); dgst == "" {
			return "", &pullError{x, "it is not in the cluster's registry; 'ltc images' lists what is, 'ltc push' brings it there", errNotPushed}
		}
	case x.digest != "" && as.Username == "" && r.has(ctx, x.stored(), x.digest):
		dgst = x.digest
	default:
		dgst, err = r.ask(ctx, x, as)
	}
	if err != nil {
		return "", err
	}
	r.use(x.stored(), dgst)
	return dgst, nil
}

// ask fetches the manifest of an image of another registry.
func (r *Registry) ask(ctx context.Context, x ref, as app.Login) (dgst string, err error) {
	err = r.from(ctx, x, as, func(u *upstream) error {
		body, kind, err := u.manifest(ctx, x.target())
		if err == nil {
			dgst, err = r.keep(ctx, x, body, kind)
		}
		return err
	})
	if err == nil {
		return dgst, nil
	}
	if old := r.tagged(context.WithoutCancel(ctx), x); x.digest == "" && old != "" && !errors.Is(err, context.Canceled) && !denied(err) {
		r.cfg.Log.Warn("what the tag meant before is used, as its registry can't say", "image", x.String(), "err", err)
		return old, nil
	}
	return "", err
}
