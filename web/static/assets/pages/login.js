import { html, useState, useEffect, useRef } from '../lib.js';
import { call } from '../api.js';
import { Logo } from '../ui.js';

export function Login({ message, done }) {
  const [by, setBy] = useState('token'), [f, setF] = useState({}), [error, setError] = useState(message), [busy, setBusy] = useState(false), first = useRef();
  useEffect(() => { document.title = 'Log in · Lattice'; first.current.focus(); }, [by]);
  const field = (k) => ({ value: f[k] ?? '', onInput: (e) => setF({ ...f, [k]: e.target.value }) });
  const submit = async (e) => {
    e.preventDefault();
    setBusy(true); setError('');
    try {
      await done(await call('POST', '/session', by === 'token' ? { token: f.token.trim() } : { name: f.name.trim(), password: f.password }));
    } catch (err) { setError(err.message[0].toUpperCase() + err.message.slice(1) + '.'); setBusy(false); }
  };
  return html`<main class="login card"><span class="brand"><${Logo} />Lattice</span><h1>Log in</h1>
    ${error && html`<div class="note bad" role="alert">${error}</div>`}
    <form class="stack" onSubmit=${submit}>
      ${by === 'token' ? html`<label class="field">Token<input ref=${first} type="password" autocomplete="current-password" required ...${field('token')} /></label>`
        : html`<label class="field">Name<input ref=${first} autocomplete="username" autocapitalize="none" required ...${field('name')} /></label><label class="field">Password<input type="password" autocomplete="current-password" required ...${field('password')} /></label>`}
      <button class="primary" disabled=${busy}>${busy ? 'One moment…' : 'Log in'}</button>
    </form>
    <button class="quiet" onClick=${() => { setError(''); setBy(by === 'token' ? 'password' : 'token'); }}>${by === 'token' ? 'Use a name and password' : 'Use a token'}</button>
    <p class="hint">No token at hand? <code>ltc dashboard</code> opens this page logged in.</p></main>`;
}
