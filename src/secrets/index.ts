export { decodeText } from './bytes.ts';
export { screenFields } from './fields.ts';
export {
  type AsyncScreener,
  containsSecret,
  defaultScreener,
  openSecrets,
  type Screener,
  type ScreenerSource,
  type Secrets,
  screenerOf,
} from './policy.ts';
export { countRedactionMarks } from './redact.ts';
export { secretsPolicy } from './schemas.ts';
