// CommonJS with a default of its own, which bundlers read differently: its named export is beyond doubt.

// @ts-expect-error it has no types
export { Scrollbars as default } from 'react-custom-scrollbars-2/lib/index.js';
