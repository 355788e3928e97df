import { html, useState } from '../lib.js';
import { app, get } from '../api.js';
import { mayChange } from '../session.js';
import { mib, moment } from '../format.js';
import { toast } from '../ui.js';

const check = (c) => !c ? '–' : c.type === 'none' ? 'none: healthy while the process runs' : c.type === 'command' ? `command: ${c.command}` : c.type === 'http' ? `GET ${c.port || 'primary port'}:${c.path}` : `port ${c.port || '(the primary)'} accepts connections`;

export function Settings({ spec }) {
  const [values, set] = useState(null);
  const reveal = () => values ? set(null) : get(app(spec.name)).then((s) => set(s.app.env ?? {}), (e) => toast(e.message));
  const rows = [['Image', html`<code>${spec.image}</code>`], ['Command', spec.command ? html`<code>${spec.command.join(' ')}</code>` : "the image's"], ['Instances', spec.instances], ['Memory', mib(spec.memory_mb)], ['Disk', mib(spec.disk_mb)], ['CPU weight', spec.cpu_weight], ['Ports', spec.ports?.join(', ') ?? "the image's"],
    ['Check', check(spec.check)], ['Startup check', spec.startup && check(spec.startup)], ['Readiness check', spec.readiness && check(spec.readiness)], ['Start timeout', spec.start_timeout], ['Stop grace', spec.stop_grace],
    ['Volumes', spec.volumes?.map((v) => html`<div><code>${v.source}:${v.path}${v.read_only ? ':ro' : ''}</code></div>`)], ['Privileged', spec.privileged && 'yes: nothing keeps it from its cell'],
    ['Routes', spec.no_routes ? 'none' : spec.urls.map((u) => html`<div><a href=${u} target="_blank" rel="noopener noreferrer">${u}</a></div>`)], ['Revision', spec.revision], ['Created', moment(spec.created_at)]];
  return html`<dl class="card kv">${rows.filter(([, v]) => v !== undefined && v !== false).map(([k, v]) => html`<dt>${k}</dt><dd>${v}</dd>`)}</dl>
    <div class="section"><h2>Environment</h2>${spec.env && mayChange() && html`<button class="quiet" aria-pressed=${!!values} onClick=${reveal}>${values ? 'Hide values' : 'Reveal values'}</button>`}</div>
    ${spec.env ? html`<dl class="card kv mono">${spec.env.map((n) => html`<dt>${n}</dt><dd>${values ? values[n] : html`<span class="muted" aria-label="hidden">••••••</span>`}</dd>`)}</dl>` : html`<p class="muted">No variables are set.</p>`}`;
}
