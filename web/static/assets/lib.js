// What every module needs of the library, under the names that it uses.
export { html, render, useState, useEffect, useLayoutEffect, useRef, useMemo } from './vendor/htm-preact.js';
