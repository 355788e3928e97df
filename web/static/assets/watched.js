// What the brain sends anew whenever it has changed.
import { useEffect, useState } from './lib.js';
import { follow } from './api.js';

// useWatched returns the newest value of a path, undefined at first, and how the
// connection is: 'connecting', 'live', 'lost', or why there is none.
export function useWatched(path) {
  const [value, set] = useState(), [state, setState] = useState('connecting');
  useEffect(() => {
    const ctl = new AbortController();
    set(undefined);
    follow(() => path + '?watch=true', ctl.signal, (list) => set(list.at(-1)), setState);
    return () => ctl.abort();
  }, [path]);
  return [value, state];
}
