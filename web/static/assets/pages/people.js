import { html, useEffect, useState } from '../lib.js';
import { call, get } from '../api.js';
import { Empty, Head, ask, toast } from '../ui.js';
import { moment } from '../format.js';

export function People() {
  const [list, set] = useState(null), [token, setToken] = useState(null), load = () => get('/users').then(set, (e) => toast(e.message));
  useEffect(() => { load(); }, []);
  const add = () => ask({ title: 'Add a person', action: 'Add', form: { name: '', role: 'viewer', password: '' }, command: (f) => `ltc user add ${f.name || 'NAME'} --role ${f.role}${f.password ? ' --password-stdin' : ''}`,
    body: (f, s) => html`<label class="field">Name<input required autocapitalize="none" autocomplete="off" value=${f.name} onInput=${(e) => s('name', e.target.value)} /></label>
      <label class="field">May<select value=${f.role} onChange=${(e) => s('role', e.target.value)}><option value="viewer">look at everything that is no secret (viewer)</option><option value="admin">do everything (admin)</option></select></label>
      <label class="field">Password <span class="hint">empty: only the token, which is shown once</span><input type="password" minlength="10" autocomplete="new-password" value=${f.password} onInput=${(e) => s('password', e.target.value)} /></label>`,
    run: async (f) => { setToken(await call('POST', '/users', f)); load(); } });
  const drop = (u) => ask({ title: `Remove ${u.name}`, action: 'Remove', danger: true, command: `ltc user remove ${u.name}`, body: html`<p>${u.name} is logged out everywhere, and the token and password are useless at once.</p>`, run: async () => { await call('DELETE', '/users/' + u.name); load(); return `${u.name} was removed.`; } });
  const renew = (u) => ask({ title: `New token for ${u.name}`, action: 'Make one', command: `ltc user token ${u.name}`, body: html`<p>The old token is useless at once, and ${u.name} is logged out everywhere.</p>`, run: async () => { setToken(await call('PUT', '/users/' + u.name, {})); load(); } });
  return html`<${Head} title="People" sub="Who may use this cluster, beside who has the admin token."><button class="primary" onClick=${add}>Add a person</button><//>
    ${token && html`<div class="note info stack" style="margin-bottom: 16px"><span>The token of ${token.name}. It is shown this once:</span><div class="cmd">${token.token}</div><div class="row"><button onClick=${() => navigator.clipboard.writeText(token.token).then(() => toast('Copied.'))}>Copy</button><button onClick=${() => setToken(null)}>Done</button></div></div>`}
    ${!list ? html`<p class="muted">Loading…</p>` : !list.length ? html`<${Empty} title="Nobody yet"><p>Add somebody who may look but not change, or another admin.</p><//>` : html`<div class="card scroll"><table><thead><tr><th>Name</th><th>Role</th><th class="hide-s">Logs in by</th><th class="hide-s">Created</th><th><span class="sr">Actions</span></th></tr></thead><tbody>
      ${list.map((u) => html`<tr key=${u.name}><td><b>${u.name}</b></td><td><span class="tag">${u.role}</span></td><td class="hide-s">${u.password ? 'password, token' : 'token'}</td><td class="hide-s muted">${moment(u.created_at)}</td><td class="right nowrap"><button class="quiet" onClick=${() => renew(u)}>New token</button><button class="quiet danger" onClick=${() => drop(u)}>Remove</button></td></tr>`)}</tbody></table></div>`}`;
}
