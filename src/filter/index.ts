export { aboutSubject, compileFilter, type Filter, type Language } from './compile.ts';
export { filter, filterIn, filterParameter } from './schemas.ts';
