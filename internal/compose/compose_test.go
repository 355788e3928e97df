package compose_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"lattice/app"
	"lattice/internal/compose"
)

func load(t *testing.T, text string, env map[string]string) (compose.Project, error) {
	t.Helper()
	return compose.Load(t.Context(), t.TempDir(), []compose.File{{Name: "compose.yaml", Content: []byte(text)}}, env)
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{".env": "TAG=1.29\nOVER=dotenv\n", "db.env": "USER=me\nPASSWORD=s3cr3t\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	base := `
name: shop
services:
  web:
    image: "nginx:${TAG}"
    command: ["nginx", "-g", "daemon off;"]
    working_dir: /srv
    user: "1000:1000"
    ports: ["8080:80", "9090"]
    expose: ["9091"]
    environment:
      OVER: ${OVER}
      DOLLAR: a$$b
      DEFAULT: ${NIX:-fallback}
      GONE: ${MISSING}
      FROM_CALLER:
      NOT_SET:
    depends_on:
      db: {condition: service_healthy}
    deploy:
      replicas: 3
      resources: {limits: {memory: 256M}}
    stop_grace_period: 30s
  db:
    image: postgres:17
    entrypoint: docker-entrypoint.sh postgres
    env_file: db.env
    volumes: ["data:/var/lib/data", "share:/share:ro", "/scratch"]
    environment: [PASSWORD=other]
    mem_limit: 1000000001
    cpu_shares: 512
    healthcheck:
      test: ["CMD", "pg_isready", "-U", "it's me"]
      interval: 2s
      timeout: 3s
      retries: 4
      start_period: 10s
      start_interval: 500ms
  old:
    image: x
    profiles: [debug]
    privileged: true
volumes:
  data: {}
  share: {driver_opts: {type: nfs, o: 'addr=10.0.0.1,rw', device: ':/export'}}
`
	p, err := compose.Load(t.Context(), dir, []compose.File{
		{Name: "compose.yaml", Content: []byte(base)},
		{Name: "compose.override.yaml", Content: []byte("services:\n  web:\n    healthcheck: {test: curl -f localhost}\n")},
	}, map[string]string{"OVER": "caller", "FROM_CALLER": "yes"})
	if err != nil {
		t.Fatal(err)
	}
	if p.Name != "shop" || len(p.Specs) != 2 || len(p.Unsupported) > 0 {
		t.Fatalf("got %+v", p)
	}
	db, web := p.Specs[0], p.Specs[1]
	second := app.Duration(time.Second)
	want := app.App{
		Name: "web", Image: "nginx:1.29", Args: []string{"nginx", "-g", "daemon off;"}, Dir: "/srv", User: "1000:1000",
		Ports: []int{80, 9090, 9091}, Instances: 3, MemoryMB: 256, StopGrace: 30 * second,
		Env:   map[string]string{"OVER": "caller", "DOLLAR": "a$b", "DEFAULT": "fallback", "GONE": "", "FROM_CALLER": "yes"},
		Check: app.Check{Type: app.CheckCommand, Command: "curl -f localhost"},
	}.WithDefaults()
	if !reflect.DeepEqual(web.App, want) || !web.Scaled || !slices.Equal(web.Needs, []string{"db"}) {
		t.Errorf("got  %+v\nwant %+v", web, want)
	}
	check := app.Check{Type: app.CheckCommand, Command: `'pg_isready' '-U' 'it'\''s me'`, Interval: 2 * second, Timeout: 3 * second, Failures: 4}
	startup := check
	startup.Failures, startup.Interval = 0, app.Duration(500*time.Millisecond)
	want = app.App{
		Name: "db", Image: "postgres:17", Command: []string{"docker-entrypoint.sh", "postgres"}, Instances: 1, MemoryMB: 954, CPUWeight: 50,
		Env:     map[string]string{"USER": "me", "PASSWORD": "other"},
		Volumes: []app.Volume{{Source: "data", Path: "/var/lib/data"}, {Source: "nfs://10.0.0.1/export", Path: "/share", ReadOnly: true}}, NoRoutes: true, Check: check, Startup: &startup, StartTimeout: 18 * second,
	}.WithDefaults()
	if !reflect.DeepEqual(db.App, want) || db.Scaled {
		t.Errorf("got  %+v %+v\nwant %+v", db.App, db.App.Startup, want)
	}
	notes := strings.Join(p.Notes, "\n")
	for _, want := range []string{"the variable MISSING is not set", "service old: left out", "service web: ports 8080:80: no port of the host", "don't find each other by name", "volumes /scratch: without a name"} {
		if !strings.Contains(notes, want) {
			t.Errorf("no note with %q:\n%s", want, notes)
		}
	}
	if strings.Contains(notes, "NIX") || strings.Contains(notes, "s3cr3t") {
		t.Errorf("got notes\n%s", notes)
	}
}

func TestWhatIsNotSupportedIsNamed(t *testing.T) {
	p, err := load(t, `
version: "3"
services:
  web:
    build: .
    container_name: web
    restart: always
    privileged: true
    volumes: ["data:/data", "./src:/src"]
    networks: [back]
    cap_add: [NET_ADMIN]
    labels: {a.b: c}
    ports: ["53:53/udp"]
    deploy: {mode: global, placement: {constraints: [node.role == manager]}}
    depends_on: {job: {condition: service_completed_successfully}}
    x-mine: {y: z}
  job:
    image: x
    secrets: [s]
    healthcheck: {disable: true}
    volumes: ["data:/data"]
    deploy: {mode: replicated}
networks: {back: {}}
volumes: {data: {}}
secrets: {s: {file: ./s}}
`, nil)
	if err != nil {
		t.Fatal(err)
	}
	all := "UNSUPPORTED\n" + strings.Join(p.Unsupported, "\n") + "\nNOTES\n" + strings.Join(p.Notes, "\n")
	for _, want := range []string{
		"service web: volumes data: service job has it, too", "src: an instance can't have a folder of a host",
		"service web: cap_add", "service web: ports 53/udp", "service web: deploy.mode", "service web: deploy.placement", "service web: depends_on job: an app never completes",
		"service job: secrets", "NOTES", "service web: container_name: containers have names of their own", "service web: restart:", "service web: networks", "service web: labels",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("not named: %q", want)
		}
	}
	if strings.Contains(all, "x-mine") || strings.Contains(all, "service job: deploy.mode: an app") || p.Specs[0].App.Check.Type != app.CheckNone {
		t.Errorf("got %+v", p.Specs[0].App)
	}
	t.Log(all)
}

func TestLoadRefuses(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", ""},
		{"services: {}\n", "no service"},
		{"services:\n  web:\n    imag: x\n", "services.web.imag: there is no such attribute"},
		{"services:\n  web:\n    image: ${NEEDED:?say which}\n", "NEEDED"},
		{"services:\n  a: {image: x, depends_on: [b]}\n  b: {image: x, depends_on: [a]}\n", "cycle"},
		{"services:\n  a: {image: x, depends_on: [nix]}\n", "nix"},
		{"services: [\n", ""},
		{"services:\n  a: {image: x, env_file: nix.env}\n", "nix.env"},
		{"services:\n  a: {image: x, ports: [nix]}\n", "containerPort"},
		{"services:\n  a: {extends: {service: nix}}\n", "nix"},
	} {
		p, err := load(t, c.text, nil)
		if !errors.Is(err, app.ErrInvalid) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: got %+v, %v, want %q", c.text, p, err, c.want)
		} else {
			t.Log(err)
		}
	}
}

func FuzzLoad(f *testing.F) {
	f.Add("services:\n  web:\n    image: x\n    ports: ['80-82:80-82', 9/udp]\n    healthcheck: {test: [CMD, x], interval: 1s}\n")
	f.Add("name: x\nservices:\n  a: {image: '${A:-b}', command: a 'b c', depends_on: [b], deploy: {replicas: 0}}\n  b: {build: ., mem_limit: 1g, environment: [A, B=c]}\n")
	f.Add("services: &a\n  web: {<<: *a}\n")
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "file") || strings.Contains(text, "include") || strings.Contains(text, "extends") {
			t.Skip() // it is not to read the files of this machine
		}
		p, err := compose.Load(t.Context(), dir, []compose.File{{Name: "compose.yaml", Content: []byte(text)}}, nil)
		if err != nil {
			if !errors.Is(err, app.ErrInvalid) {
				t.Fatalf("%v is not ErrInvalid", err)
			}
			return
		}
		done := map[string]bool{}
		for _, s := range p.Specs {
			for _, n := range s.Needs {
				if !done[n] {
					t.Fatalf("%s is before %s, which it needs", s.App.Name, n)
				}
			}
			done[s.App.Name] = true
			if s.App.Image == "" && len(p.Unsupported) == 0 {
				t.Fatalf("%s has no image, and nobody says so", s.App.Name)
			}
		}
	})
}
