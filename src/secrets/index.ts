export { decodeText } from './bytes.ts';
export { screenFields } from './fields.ts';
export { holdsSecret, openSecrets, plainScreener, type Screened, type Screener, type Secrets } from './policy.ts';
export { countMarks } from './redact.ts';
export { secretsPolicy } from './schemas.ts';
