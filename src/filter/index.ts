export { aboutSubject, compileFilter, type Filter } from './compile.ts';
export { filter, filterParameter } from './schemas.ts';
