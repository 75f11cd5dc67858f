import type { Feature } from '../feature.ts';
import { editRoutes } from './routes.ts';

export const feature: Feature = {
  routes: () => editRoutes,
};
