import type { Feature } from '../feature.ts';
import type { OpenModels } from './models.ts';

export { type OpenModels, openModels } from './models.ts';

export const feature: Feature<OpenModels> = {
  open: ({ models }) => models,
  stop: async (models) => models.close(),
};
