export { decodeText } from './bytes.ts';
export { screenFields } from './fields.ts';
export {
  holdsSecret,
  openSecrets,
  type PatientScreener,
  plainScreener,
  type Screener,
  type Secrets,
  type Source,
  screenerOf,
} from './policy.ts';
export { countMarks } from './redact.ts';
export { secretsPolicy } from './schemas.ts';
