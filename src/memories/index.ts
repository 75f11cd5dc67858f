export { sha256Hex, wishOf } from './wish.ts';
