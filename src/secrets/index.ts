export { screenFields } from './fields.ts';
export { openSecrets, type Screened, type Screener, type Secrets } from './policy.ts';
export { countMarks } from './redact.ts';
export { secretsPolicy } from './schemas.ts';
