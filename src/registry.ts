import type { Registry } from './feature.ts';
import { features } from './features.ts';

const kinds = [...new Set(features.flatMap(({ kinds = [] }) => kinds))];

export const registry: Registry = {
  actions: features.flatMap(({ audit = [] }) => audit),
  kinds,
  citedPrefixes: features.flatMap(({ prefixes = {} }) => Object.keys(prefixes).filter((prefix) => prefixes[prefix] === 'cited')),
  portable: Object.assign({}, ...features.map(({ portable }) => portable?.(kinds))),
  conflicts: Object.assign({}, ...features.map(({ conflicts }) => conflicts)),
  effects: features.flatMap(({ effects = {} }) => Object.entries(effects)),
  replays: Object.assign({}, ...features.map(({ replays }) => replays)),
  unreadable: features.flatMap(({ unreadable }) => unreadable ?? []),
  reports: Object.assign({}, ...features.map(({ reports }) => reports?.(kinds))),
};
