import { readExamples } from '../examples.ts';
import type { Feature } from '../feature.ts';
import { isolation } from './isolation.ts';
import { portable } from './portable.ts';
import { editRoutes } from './routes.ts';

export const feature: Feature = {
  routes: () => editRoutes,
  kinds: ['edit.proposed', 'edit.approved', 'edit.rejected', 'edit.reverted'],
  prefixes: { edt: 'cited' },
  audit: ['edit.proposed', 'edit.approved', 'edit.rejected', 'edit.reverted'],
  isolation,
  tags: {
    Edits:
      'Overlays that retract, amend, quarantine, attenuate or block an item once an admin approves them. The original stays in the log.',
  },
  examples: () => readExamples(import.meta.dirname),
  portable: () => portable,
};
