// Loads the page again when a part of it does not come, a few times: a module that
// is missing keeps all others from running, and nothing else would say so.
(() => {
  const patience = 20_000, tries = 3;
  const waiting = () => document.querySelector('#root > .boot');
  const late = setTimeout(() => { if (waiting()) again(); else sessionStorage.removeItem('loads'); }, patience);
  function again() {
    clearTimeout(late);
    const n = Number(sessionStorage.getItem('loads') ?? 0) + 1;
    if (n <= tries) {
      sessionStorage.setItem('loads', n);
      setTimeout(() => location.reload(), 500 * n);
      return;
    }
    sessionStorage.removeItem('loads');
    waiting().textContent = 'A part of the dashboard does not come. Is the brain up? Load the page again to try once more.';
  }
  addEventListener('error', (e) => { if (e.target.tagName === 'SCRIPT' && waiting()) again(); }, true);
})();
