export * from './principal.ts';
export * from './visibility.ts';
