import { html, useState } from '../lib.js';
import { call } from '../api.js';
import { go, Head, toast } from '../ui.js';
import { mayChange, session } from '../session.js';
import { shell } from '../format.js';

const blank = { name: '', image: '', instances: 1, memory: 128, disk: 0, weight: 100, ports: '', command: '', check: 'port', path: '/', probe: '', env: [], routes: '', noRoutes: false, tcp: '', volumes: '' };

// words takes a command apart as a shell would.
function words(text) {
  const out = [];
  for (const m of text.matchAll(/'([^']*)'|"((?:\\.|[^"\\])*)"|(\S+)/g)) out.push(m[1] ?? m[2]?.replace(/\\(.)/g, '$1') ?? m[3]);
  return out;
}
const list = (text) => text.split(/[\s,]+/).filter(Boolean);

function route(text) {
  const m = /^([^/:]+)(\/[^:]*)?(?::(\d+))?$/.exec(text);
  if (!m) throw new Error(`"${text}" is no route: write HOST, HOST/PATH or HOST/PATH:PORT.`);
  return { host: m[1].toLowerCase(), ...(m[2] ? { path: m[2] } : {}), ...(m[3] ? { port: +m[3] } : {}) };
}

function tcpRoute(text) {
  const m = /^(auto|\d+)(?::(\d+))?$/.exec(text.toLowerCase());
  if (!m) throw new Error(`"${text}" is no TCP route: write EXTERNAL or EXTERNAL:PORT, EXTERNAL being a port of the router or auto.`);
  return { external: m[1] === 'auto' ? 0 : +m[1], ...(m[2] ? { port: +m[2] } : {}) };
}

function volume(text) {
  const m = /^(.+?):(\/[^:]*)(:ro)?$/.exec(text.startsWith('nfs://') ? text.slice(6) : text);
  if (!m) throw new Error(`"${text}" is no volume: write NAME:/PATH or nfs://HOST/PATH:/PATH.`);
  return { source: (text.startsWith('nfs://') ? 'nfs://' : '') + m[1], path: m[2], ...(m[3] ? { read_only: true } : {}) };
}

function spec(f) {
  const ports = list(f.ports).map(Number), env = f.env.filter(([n]) => n);
  const check = f.check === 'http' ? { type: 'http', path: f.path } : f.check === 'command' ? { type: 'command', command: f.probe } : { type: f.check };
  return { name: f.name.trim(), image: f.image.trim(), instances: f.instances, memory_mb: f.memory, disk_mb: f.disk, cpu_weight: f.weight, check: { ...check, timeout: '1s' },
    ...(ports.length ? { ports } : {}), ...(f.command.trim() ? { command: words(f.command) } : {}), ...(env.length ? { env: Object.fromEntries(env) } : {}),
    ...(list(f.volumes).length ? { volumes: list(f.volumes).map(volume) } : {}),
    ...(list(f.tcp).length ? { tcp_routes: list(f.tcp).map(tcpRoute) } : {}),
    ...(f.noRoutes ? { no_routes: true } : list(f.routes).length ? { routes: list(f.routes).map(route) } : {}) };
}

function command(f) {
  const c = ['ltc create', shell(f.name.trim() || 'NAME'), shell(f.image.trim() || 'IMAGE')];
  if (f.instances !== 1) c.push('-i ' + f.instances);
  if (f.memory !== 128) c.push(`-m ${f.memory}M`);
  if (f.disk) c.push(`-d ${f.disk}M`);
  if (f.weight !== 100) c.push('-c ' + f.weight);
  if (list(f.ports).length) c.push('-p ' + list(f.ports).join(','));
  for (const [n] of f.env) if (n) c.push(`-e ${shell(n)}=…`);
  for (const v of list(f.volumes)) c.push('-v ' + shell(v));
  if (f.check === 'http') c.push('-U ' + shell(`${list(f.ports)[0] ?? 8080}:${f.path}`));
  if (f.check === 'command') c.push('--monitor-command ' + shell(f.probe));
  if (f.check === 'none') c.push('--no-monitor');
  if (f.noRoutes) c.push('--no-routes'); else for (const r of list(f.routes)) c.push('-R ' + shell(r));
  for (const r of list(f.tcp)) c.push('-T ' + shell(r));
  if (f.command.trim()) c.push('-- ' + words(f.command).map(shell).join(' '));
  return c.join(' ');
}

export function Create() {
  const [f, setF] = useState(blank), [error, setError] = useState(''), [busy, setBusy] = useState(false);
  const set = (k, v) => setF((x) => ({ ...x, [k]: v })), text = (k) => ({ value: f[k], onInput: (e) => set(k, e.target.value) }), number = (k) => ({ type: 'number', value: f[k], onInput: (e) => set(k, e.target.valueAsNumber || 0) });
  const pair = (i, k, v) => set('env', f.env.map((p, j) => j === i ? (k ? [p[0], v] : [v, p[1]]) : p));
  if (!mayChange()) return html`<${Head} title="Create an app" /><div class="note">You may look, but not create apps: ask an admin.</div>`;
  const submit = async (e) => {
    e.preventDefault();
    setBusy(true); setError('');
    try { const a = await call('POST', '/apps', spec(f)); toast(`${a.name} was created.`); go('/apps/' + a.name); } catch (err) { setError(err.message); setBusy(false); }
  };
  return html`<${Head} title="Create an app" crumb=${html`<a href="/apps">Apps</a>`} />
    <form class="form" onSubmit=${submit}><div class="stack">
      <section class="card pad"><fieldset><legend>What to run</legend><div class="two"><label class="field">Name<input name="name" required pattern="[a-z0-9]([a-z0-9\\-]*[a-z0-9])?" title="lower-case letters, digits and -" maxlength="63" autocapitalize="none" spellcheck=${false} placeholder="web" ...${text('name')} /></label>
        <label class="field">Image<input name="image" required autocapitalize="none" spellcheck=${false} placeholder="lattice/hello" ...${text('image')} /></label></div>
        <label class="field">Command <span class="hint">empty: the image's own</span><input name="command" autocapitalize="none" spellcheck=${false} ...${text('command')} /></label></fieldset></section>
      <section class="card pad"><fieldset><legend>How much</legend><div class="two"><label class="field">Instances<input name="instances" min="0" max="1000" ...${number('instances')} /></label><label class="field">Memory, MiB<input name="memory" min="0" ...${number('memory')} /></label>
        <label class="field">Disk, MiB <span class="hint">0: no limit</span><input min="0" ...${number('disk')} /></label><label class="field">CPU weight<input min="1" max="100" ...${number('weight')} /></label></div>
        <label class="field">Volumes <span class="hint">NAME:/PATH or nfs://HOST/PATH:/PATH; what is there outlives the container</span><input name="volumes" autocapitalize="none" spellcheck=${false} placeholder="data:/data" ...${text('volumes')} /></label></fieldset></section>
      <section class="card pad"><fieldset><legend>How it is reached</legend><div class="two"><label class="field">Ports <span class="hint">empty: the image's</span><input inputmode="numeric" placeholder="8080" ...${text('ports')} /></label>
        <label class="field">Routes <span class="hint">HOST, HOST/PATH or HOST/PATH:PORT</span><input autocapitalize="none" disabled=${f.noRoutes} placeholder=${`${f.name || 'NAME'}.${session.info.domain}`} ...${text('routes')} /></label></div>
        <label class="field">TCP routes <span class="hint">EXTERNAL or EXTERNAL:PORT; a port of the router, or auto for any that is free</span><input name="tcp" autocapitalize="none" spellcheck=${false} placeholder="auto:6379" ...${text('tcp')} /></label>
        <label class="field inline"><input type="checkbox" checked=${f.noRoutes} onChange=${(e) => set('noRoutes', e.target.checked)} />No routes</label>
        <div class="two"><label class="field">Healthy while<select value=${f.check} onChange=${(e) => set('check', e.target.value)}><option value="port">its port accepts connections</option><option value="http">GET answers 2xx or 3xx</option><option value="command">a command ends with 0</option><option value="none">the process runs</option></select></label>
        ${f.check === 'http' && html`<label class="field">Path<input ...${text('path')} /></label>`}${f.check === 'command' && html`<label class="field">Command<input required ...${text('probe')} /></label>`}</div></fieldset></section>
      <section class="card pad"><fieldset><legend>Environment</legend>${f.env.map(([n, v], i) => html`<div class="pair"><input aria-label="Name of a variable" placeholder="NAME" autocapitalize="none" value=${n} onInput=${(e) => pair(i, 0, e.target.value)} /><input aria-label=${'Value of ' + (n || 'the variable')} placeholder="value" autocomplete="off" value=${v} onInput=${(e) => pair(i, 1, e.target.value)} /><button type="button" aria-label=${'Remove ' + (n || 'the variable')} onClick=${() => set('env', f.env.filter((_, j) => j !== i))}>Remove</button></div>`)}
        <div><button type="button" onClick=${() => set('env', [...f.env, ['', '']])}>Add a variable</button></div></fieldset></section>
    </div>
    <aside class="card pad stack"><h2>The same on the command line</h2><div class="cmd" aria-live="polite">${command(f)}</div>${error && html`<div class="note bad" role="alert">${error}</div>`}<button class="primary" disabled=${busy}>${busy ? 'One moment…' : 'Create'}</button></aside></form>`;
}
