import { readExamples } from '../examples.ts';
import type { Feature } from '../feature.ts';
import { isolation } from './isolation.ts';
import { contextRoutes } from './routes.ts';

export { contextRoutes } from './routes.ts';
export { loadTokenCounter } from './tokens.ts';

export const feature: Feature = {
  routes: ({ config, models }) => contextRoutes({ ...config, models }),
  prefixes: { ctx: 'cited' },
  isolation,
  tags: { Context: 'The relevant items for the next model call, within a token budget.' },
  examples: () => readExamples(import.meta.dirname),
};
