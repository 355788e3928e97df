// The frame around the pages, and which page an address shows.
import { html, render, useState, useEffect, useRef } from './lib.js';
import { call, get, whenLoggedOut } from './api.js';
import { connect, disconnect, useStore } from './store.js';
import { Dialogs, Logo, Toasts, go } from './ui.js';
import { session } from './session.js';
import { Login } from './pages/login.js';
import { Cluster } from './pages/cluster.js';
import { Apps } from './pages/apps.js';
import { App } from './pages/app.js';
import { Create } from './pages/create.js';
import { Cells, Cell } from './pages/cells.js';
import { Routes } from './pages/routes.js';
import { Events } from './pages/events.js';
import { Tasks, Task } from './pages/tasks.js';
import { Schedules } from './pages/schedules.js';
import { Terminal } from './pages/terminal.js';
import { Images } from './pages/images.js';
import { Volumes } from './pages/volumes.js';
import { People } from './pages/people.js';

const pages = [
  [/^\/$/, Cluster],
  [/^\/apps$/, Apps],
  [/^\/create$/, Create],
  [/^\/apps\/(?<name>[^/]+)\/terminal\/(?<index>\d+)$/, Terminal],
  [/^\/apps\/(?<name>[^/]+)(?:\/(?<tab>\w+))?$/, App],
  [/^\/cells$/, Cells],
  [/^\/cells\/(?<id>[^/]+)$/, Cell],
  [/^\/routes$/, Routes],
  [/^\/tasks$/, Tasks],
  [/^\/tasks\/(?<name>[^/]+)$/, Task],
  [/^\/schedules$/, Schedules],
  [/^\/images$/, Images],
  [/^\/volumes$/, Volumes],
  [/^\/events$/, Events],
  [/^\/people$/, People],
];

function Page({ path }) {
  for (const [pattern, page] of pages) {
    const m = pattern.exec(path);
    if (m) {
      const p = Object.fromEntries(Object.entries(m.groups ?? {}).map(([k, v]) => [k, v && decodeURIComponent(v)]));
      return html`<${page} key=${page.name + (p.name ?? p.id ?? '')} ...${p} />`;
    }
  }
  return html`<div class="card empty"><h1>There is no page here</h1><p>Go to the <a href="/">cluster</a>.</p></div>`;
}

function Side({ path }) {
  const s = useStore(500), [open, setOpen] = useState(false);
  useEffect(() => setOpen(false), [path]);
  const entry = (to, name, n) => html`<a href=${to} aria-current=${(to === '/' ? path === '/' : path.startsWith(to)) ? 'page' : undefined}>${name}${n !== undefined && html` <span class="n">${n}</span>`}</a>`;
  return html`<header class="side ${open ? 'open' : ''}">
    <a class="brand" href="/"><${Logo} />Lattice</a>
    <button class="menu" aria-expanded=${open} aria-controls="nav" onClick=${() => setOpen(!open)}>Menu</button>
    <nav id="nav" aria-label="Pages">
      ${entry('/', 'Cluster')}${entry('/apps', 'Apps', s.apps.size)}${entry('/tasks', 'Tasks')}${entry('/schedules', 'Schedules')}
      ${entry('/routes', 'Routes')}${entry('/cells', 'Cells', s.cells.size)}${entry('/images', 'Images')}${entry('/volumes', 'Volumes')}${entry('/events', 'Events')}
      ${session.role === 'admin' && entry('/people', 'People')}
    </nav>
    <div class="foot"><span class="live ${s.state === 'live' ? '' : 'off'}" role="status"><i></i>${s.state === 'live' ? 'Live' : s.state === 'lost' ? 'Connection lost, trying again' : 'Connecting'}</span>
      <span>${session.name}${session.role === 'viewer' && ' (viewer)'} · ${session.info?.domain}</span>
      <${Theme} /><button class="quiet" onClick=${logout}>Log out</button></div></header>`;
}

function Theme() {
  const [theme, set] = useState(localStorage.getItem('theme') ?? 'auto');
  useEffect(() => { document.documentElement.dataset.theme = theme; localStorage.setItem('theme', theme); dispatchEvent(new Event('themechange')); }, [theme]);
  return html`<label class="hint">Colours <select value=${theme} onChange=${(e) => set(e.target.value)}><option value="auto">As the system</option><option value="light">Light</option><option value="dark">Dark</option></select></label>`;
}

async function logout() {
  await call('DELETE', '/session').catch(() => {});
  location.assign('/');
}

function Frame() {
  const [path, set] = useState(location.pathname), main = useRef(), first = useRef(true);
  useEffect(() => { const f = () => set(location.pathname); addEventListener('popstate', f); return () => removeEventListener('popstate', f); }, []);
  useEffect(() => {
    if (first.current) { first.current = false; return; }
    scrollTo(0, 0);
    main.current.focus({ preventScroll: true });
  }, [path]);
  return html`<a class="skip" href="#main">Skip to the page</a><div class="frame"><${Side} path=${path} /><main id="main" tabindex="-1" ref=${main}><${Page} path=${path} /></main></div><${Toasts} /><${Dialogs} />`;
}

// Links to our own pages load nothing.
addEventListener('click', (e) => {
  const a = e.target.closest?.('a[href^="/"]');
  if (!a || a.target || e.defaultPrevented || e.button || e.metaKey || e.ctrlKey || e.shiftKey) return;
  e.preventDefault();
  if (a.pathname + a.search !== location.pathname + location.search) go(a.getAttribute('href'));
});

function Root() {
  const [known, set] = useState(null); // null: not yet; '': nobody; else the message for who must log in
  useEffect(() => {
    whenLoggedOut(() => { disconnect(); set('You are not logged in any more.'); });
    start(set);
  }, []);
  if (known === null) return html`<p class="boot">Connecting…</p>`;
  if (known !== true) return html`<${Login} message=${known} done=${(s) => enter(s, set)} />`;
  return html`<${Frame} />`;
}

// start uses up the code of a link, or goes on with the session there is.
async function start(set) {
  const code = /^#login=(.+)$/.exec(location.hash)?.[1];
  if (code) history.replaceState(null, '', location.pathname);
  try {
    await enter(code ? await call('POST', '/session', { code }) : await get('/session'), set);
  } catch (err) { set(err.status === 401 && !code ? '' : err.message); }
}

async function enter(s, set) {
  Object.assign(session, s, { info: await get('/info') });
  connect();
  set(true);
}

document.documentElement.dataset.theme = localStorage.getItem('theme') ?? 'auto';
render(html`<${Root} />`, document.getElementById('root'));
document.querySelector('#root > .boot')?.remove();
