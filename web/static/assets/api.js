// Talks to the brain. The session's cookie goes along by itself.

export class Refused extends Error {
  constructor(status, message) { super(message); this.status = status; }
}

async function refusal(resp) {
  try { return new Refused(resp.status, (await resp.json()).error.message); }
  catch { return new Refused(resp.status, `The brain answered ${resp.status} ${resp.statusText}.`); }
}

// onLoggedOut is called when the session is over.
let onLoggedOut = () => {};
export function whenLoggedOut(fn) { onLoggedOut = fn; }

export async function call(method, path, body) {
  let resp;
  try {
    resp = await fetch('/api/v1' + path, {
      method, credentials: 'same-origin', cache: 'no-store',
      headers: { 'X-Lattice': '1', ...(body === undefined ? {} : { 'Content-Type': 'application/json' }) },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch { throw new Refused(0, 'The brain does not answer. Is it up?'); }
  if (!resp.ok) {
    const err = await refusal(resp);
    if (resp.status === 401 && path !== '/session') onLoggedOut();
    throw err;
  }
  return resp.status === 204 ? null : resp.json();
}

export const get = (path) => call('GET', path);
export const app = (name) => '/apps/' + encodeURIComponent(name);

// lines calls each with the values of a stream, one a line, until signal ends it.
// It resolves when the stream ended by itself.
export async function lines(path, signal, each) {
  const resp = await fetch('/api/v1' + path, { signal, credentials: 'same-origin', cache: 'no-store' });
  if (!resp.ok) throw await refusal(resp);
  const reader = resp.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const parts = (rest + value).split('\n');
    rest = parts.pop();
    const values = [];
    for (const p of parts) if (p) values.push(JSON.parse(p));
    const last = values.at(-1);
    if (last && last.error && last.error.code) throw new Refused(0, last.error.message);
    if (values.length) each(values);
  }
}

// follow is lines for a stream that shall not end: it begins again, after since
// the last value, until signal ends it. state is told 'live' or 'lost'.
export async function follow(path, signal, each, state) {
  for (let wait = 500; !signal.aborted; wait = Math.min(wait * 2, 8000)) {
    try {
      await lines(path(), signal, (v) => { wait = 500; state('live'); each(v); });
    } catch (err) {
      if (signal.aborted) return;
      if (err.status === 401) { onLoggedOut(); return; }
      if (err.status >= 400 && err.status < 500) { state(err.message); return; }
    }
    if (signal.aborted) return;
    state('lost');
    await new Promise((r) => setTimeout(r, wait));
  }
}
