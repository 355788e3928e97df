package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// TestDashboard is what somebody does in a browser, on a real cluster.
func TestDashboard(t *testing.T) {
	l, brain, procs := cluster(t, "c1", "c2")
	b := newBrowser(t, "https://"+brain.reach(brain.addr+":7443"))

	b.open("/")
	b.see("Log in")
	b.fill("input[type=password]", "a wrong token")
	b.click("Log in")
	b.see("The token is not known here")
	b.fill("input[type=password]", brain.token())
	b.click("Log in")
	b.see("Cluster")
	b.see("nothing runs here")

	b.createSample()
	b.followLog(brain)
	b.scaleAndKill(procs["c2"])
	b.rollBack(brain)
	b.mustHaveNoErrors()

	furnish(brain)
	b.terminal(brain)
	b.pruneImages(brain)
	b.deleteVolume(brain)
	b.accessible()
	if dir := os.Getenv("SCREENSHOTS"); dir != "" {
		c2 := l.host("c2")
		c2.waitReady(c2.start("cell"))
		b.busy(brain)
		b.pictures(dir)
	}
	b.mustHaveNoErrors()
	b.viewer(brain)
}

func (b *browser) createSample() {
	b.t.Helper()
	b.click("Apps")
	b.click("Create an app")
	b.fill("input[name=name]", "hello")
	b.fill("input[name=image]", "lattice/hello")
	b.until("the command is shown", "document.body.innerText.includes('ltc create hello lattice/hello')")
	b.click("Create")
	began := time.Now()
	b.see("1 of 1 instance")
	b.t.Logf("from the click to running in the page: %v", time.Since(began).Round(time.Millisecond))
}

func (b *browser) followLog(brain *host) {
	b.t.Helper()
	b.click("Logs")
	b.see("APP/0")
	brain.mustGet("hello."+domain, "/?mark=seen-by-the-browser")
	b.see("seen-by-the-browser")
	b.fill("input[aria-label='Only lines with']", "no line has this")
	b.see("0 lines")
}

func (b *browser) scaleAndKill(c2 *proc) {
	b.t.Helper()
	b.click("Overview")
	b.click("Scale")
	b.fill("dialog input[type=number]", "4")
	b.see("3 new instances will start")
	b.confirm()
	b.see("4 of 4 instances")
	b.click("Cluster")
	b.until("both cells have two", "[...document.querySelectorAll('.cellbox')].every((c) => c.querySelectorAll('.inst.running').length === 2)")
	began := time.Now()
	c2.kill()
	b.until("all four are seen on the other cell", "Math.max(...[...document.querySelectorAll('.cellbox')].map((c) => c.querySelectorAll('.inst.running').length)) === 4")
	b.t.Logf("kill of a cell to all seen elsewhere: %v", time.Since(began).Round(time.Millisecond))
}

func (b *browser) rollBack(brain *host) {
	b.t.Helper()
	brain.ltc("update", "hello", "-e", "LEVEL=a-secret-value", "-m", "96M")
	b.open("/apps/hello/revisions")
	b.see("Revision 2")
	b.see("memory_mb: 96")
	if text := eval[string](b, "document.body.innerText"); strings.Contains(text, "a-secret-value") {
		b.t.Error("a value of the environment is shown with the revisions")
	}
	b.click("Settings")
	b.see("••••••")
	b.click("Reveal values")
	b.see("a-secret-value")
	b.click("Revisions")
	b.click("Roll back to 1")
	b.see("runs again as it was in revision 1")
	b.confirm()
	eventually(b.t, 60*time.Second, "the app is back", func() string {
		st := brain.status("hello")
		if st.App.Env["LEVEL"] == "" && st.App.MemoryMB == 128 {
			return ""
		}
		return fmt.Sprintf("%+v", st.App.Rollout)
	})
	b.click("Overview")
	b.see("4 of 4 instances")
}

// deleteVolume deletes a volume that its app has no use for any more.
func (b *browser) deleteVolume(brain *host) {
	b.t.Helper()
	b.open("/apps/keeper")
	b.see("keeper/data/0")
	brain.ltc("update", "keeper", "-v", "data:/data")
	b.open("/volumes")
	b.see("orphan")
	b.click("Delete keeper/spare/0")
	b.fill("dialog input", "keeper/spare/0")
	b.confirm()
	b.see("keeper/spare/0 is deleted.")
	b.until("it is gone from the list", "!document.querySelector('table').innerText.includes('keeper/spare/0')")
	b.see("in use")
}

// pruneImages deletes the one image that no app needs.
func (b *browser) pruneImages(brain *host) {
	b.t.Helper()
	brain.pushBox("spare")
	b.open("/images")
	b.see("cluster/spare")
	b.see("registry.lan:5000")
	b.click("Prune")
	b.fill("dialog input[type=number]", "0")
	b.see("This would delete 0 images")
	b.run(chromedp.Click(chromedp.CSS("dialog input[type=checkbox]")))
	b.see("This would delete 1 image,")
	b.see("ltc images prune --unused 0h --pushed")
	b.confirm()
	b.see("Deleted 1 image,")
	b.until("only the image that is used is left", "!document.querySelector('table').innerText.includes('cluster/spare') && document.querySelector('table').innerText.includes('cluster/box')")
}

// terminal types into the shell of an instance.
func (b *browser) terminal(brain *host) {
	b.t.Helper()
	brain.pushBox("box")
	brain.ltc("create", "box", "cluster/box:v1", "-m", "64M", "--no-monitor", "--no-routes")
	b.open("/apps/box")
	b.click("Terminal")
	b.see("~ $")
	b.typeLine("echo $((6*7))")
	b.seeLine("42")
	b.typeLine(`echo -e '\e[38;2;1;200;3mgreen'`)
	b.until("a colour of its own", `[...document.querySelectorAll('.xterm-rows span')].some((s) => s.style.color === 'rgb(1, 200, 3)')`)
	rows := eval[int](b, termRows+".length")
	b.typeLine("while sleep 1; do stty size; done")
	eval[bool](b, "!!(document.querySelector('.term').style.height = '340px')")
	b.until("the shell knows the new size", fmt.Sprintf("%[1]s.length !== %[2]d && %[1]s.some((r) => r.startsWith(%[1]s.length + ' '))", termRows, rows))
	b.run(chromedp.KeyEvent("c", chromedp.KeyModifiers(chromedp.ModifierCtrl)))
	b.typeLine("exit 3")
	b.see("The shell ended with 3")
	b.click("Open again")
	b.typeLine("echo $((6*8))")
	b.seeLine("48")
}

// termRows is the lines of the terminal that is shown, in the page.
const termRows = `[...document.querySelectorAll('.xterm-rows > div')].map((r) => r.textContent.replace(/\u00a0/g, ' ').trim())`

func (b *browser) typeLine(line string) {
	b.t.Helper()
	b.until("the terminal takes keys", "document.activeElement?.classList.contains('xterm-helper-textarea')")
	b.run(chromedp.KeyEvent(line + "\r"))
}

// seeLine waits until a line of the terminal is just that.
func (b *browser) seeLine(line string) {
	b.t.Helper()
	b.until(fmt.Sprintf("the terminal shows the line %q", line), termRows+".includes("+js(line)+")")
}

// pushBox pushes an image with a shell as cluster/NAME:v1.
func (h *host) pushBox(repo string) {
	h.t.Helper()
	file := filepath.Join(h.dir, repo+".tar")
	tag, err := name.NewTag(repo + ":v1")
	if err != nil {
		h.t.Fatal(err)
	}
	if err := tarball.WriteToFile(file, tag, boxImage(h.t)); err != nil {
		h.t.Fatal(err)
	}
	h.ltc("push", file)
}

// viewer logs in as somebody who may only look.
func (b *browser) viewer(brain *host) {
	b.t.Helper()
	cmd := brain.command(brain.binary, "user", "add", "vic", "--role", "viewer", "--password-stdin")
	cmd.Stdin = strings.NewReader("correct horse battery\n")
	out, err := cmd.Output()
	if err != nil {
		b.t.Fatalf("user add: %v", err)
	}
	b.click("Log out")
	b.click("Use a name and password")
	b.fill("input[autocomplete=username]", "vic")
	b.fill("input[type=password]", "correct horse battery")
	b.click("Log in")
	b.see("vic (viewer)")
	b.open("/apps/hello")
	b.see("4 of 4 instances")
	for _, words := range []string{"Scale", "Restart", "Remove", "Stop", "Replace", "Terminal", "Create an app", "People"} {
		if eval[bool](b, fmt.Sprintf("[...document.querySelectorAll('button, a')].some((e) => e.textContent.trim() === %s)", js(words))) {
			b.t.Errorf("a viewer is offered %q", words)
		}
	}
	b.open("/volumes")
	b.see("keeper/data/0")
	b.until("a viewer is not offered to delete", "!document.querySelector('main button')")
	b.open("/images")
	b.see("cluster/box")
	b.until("a viewer is not offered to prune", "!document.querySelector('main button')")
	const scale = `fetch('/api/v1/apps/hello/instances', {method: 'PUT', headers: {'X-Lattice': '1'}, body: '{"instances":1}'}).then((r) => r.status)`
	if got := eval[int](b, scale); got != 403 {
		b.t.Errorf("a viewer scales by its session: got %d, want 403", got)
	}
	token := strings.TrimSpace(string(out))
	for _, tt := range []struct {
		method, path, body string
		want               int
	}{{"GET", "/api/v1/apps/hello", "", 200}, {"PUT", "/api/v1/apps/hello/instances", `{"instances":1}`, 403}, {"DELETE", "/api/v1/apps/hello", "", 403}, {"GET", "/api/v1/users", "", 403}} {
		if got, body, err := brain.request(tt.method, tt.path, tt.body, token); err != nil || got != tt.want {
			b.t.Errorf("%s %s as a viewer: got %d %v %s, want %d", tt.method, tt.path, got, err, body, tt.want)
		}
	}
	brain.ltc("user", "remove", "vic")
	b.until("a viewer who was removed must log in", "!!document.querySelector('.login')")
}

// aPage is a page of the dashboard as the tests look at it.
type aPage struct{ name, path, wait string }

func dashboardPages() []aPage {
	return []aPage{
		{"cluster", "/", "Memory"}, {"apps", "/apps", "running"}, {"app", "/apps/hello", "Instances"}, {"logs", "/apps/hello/logs", "lines"},
		{"revisions", "/apps/hello/revisions", "Revision 1"}, {"settings", "/apps/hello/settings", "Environment"}, {"create", "/create", "What to run"},
		{"terminal", "/apps/box/terminal/0", "~ $"}, {"tasks", "/tasks", "succeeded"}, {"task", "/tasks/once", "Attempts"}, {"schedules", "/schedules", "nightly"},
		{"cells", "/cells", "alive"}, {"cell", "/cells/c1", "Instances"}, {"routes", "/routes", "hello"}, {"images", "/images", "cluster/box"}, {"volumes", "/volumes", "keeper/data/0"}, {"events", "/events", "app.created"}, {"people", "/people", "ann"},
	}
}

// furnish makes something to see on each page.
func furnish(brain *host) {
	brain.ltc("run", "lattice/hello", "--name", "once", "--", "/bin/hello", "task")
	brain.ltc("schedule", "nightly", "30 3 * * *", "lattice/hello", "--", "/bin/hello", "task")
	brain.ltc("user", "add", "ann", "--role", "viewer")
	brain.ltc("create", "keeper", "lattice/hello", "-v", "data:/data", "-v", "spare:/spare")
	brain.ltc("registry", "add", "registry.lan:5000", "--plain-http", "--no-check")
}

// axe is the accessibility checker; `make test-deps` puts it there.
const axe = "../../build/axe/package/axe.min.js"

// accessible fails the test for each serious finding on a page, in both colours.
func (b *browser) accessible() {
	b.t.Helper()
	script, err := os.ReadFile(axe)
	if err != nil {
		b.t.Fatalf("%v: run `make test-deps`", err)
	}
	const run = `axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice'], resultTypes: ['violations']}).then((r) =>
		r.violations.filter((v) => ['serious', 'critical'].includes(v.impact)).map((v) => v.id + ': ' + v.help + ': ' + v.nodes.slice(0, 3).map((n) => n.html.slice(0, 160) + ' ' + (n.any[0]?.message ?? '')).join(' | ')))`
	for _, colours := range []string{"light", "dark"} {
		b.look(1440, 900, colours)
		for _, p := range dashboardPages() {
			b.open(p.path)
			b.see(p.wait)
			eval[bool](b, "(() => {"+string(script)+"\n})(); true")
			for _, finding := range eval[[]string](b, run) {
				b.t.Errorf("%s, %s: %s", p.name, colours, finding)
			}
		}
	}
	b.look(1440, 900, "light")
}

// busy gives the charts something to show.
func (b *browser) busy(brain *host) {
	brain.ltc("create", "api", "lattice/hello", "-i", "3", "-e", "LEVEL=debug")
	brain.ltc("create", "worker", "lattice/hello", "-i", "2", "--no-routes")
	for end := time.Now().Add(90 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) { // pictures need a history
		for _, name := range []string{"hello", "api"} {
			brain.mustGet(name+"."+domain, "/")
		}
	}
}

// pictures saves each page as README and docs show them.
func (b *browser) pictures(dir string) {
	b.t.Helper()
	for _, p := range dashboardPages() {
		for _, v := range []struct {
			kind          string
			width, height int
			colours       string
		}{{"light", 1120, 700, "light"}, {"dark", 1120, 700, "dark"}, {"phone", 390, 844, "light"}} {
			b.look(v.width, v.height, v.colours)
			b.open(p.path)
			b.see(p.wait)
			b.drawn()
			b.picture(filepath.Join(dir, p.name+"-"+v.kind+".png"))
		}
	}
	b.look(1440, 900, "light")
}

// drawn waits until the page has drawn what it was told.
func (b *browser) drawn() {
	b.t.Helper()
	b.until("the page is live", "document.querySelector('.live')?.textContent === 'Live'")
	eval[bool](b, "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))")
}
