import { issuerRules } from './issuer_rules.ts';

// Tokens that are recognized by their form. Issuers publish these forms; `source` names the page, or the rule of a
// maintained set describes it: GL = https://github.com/gitleaks/gitleaks/blob/master/config/gitleaks.toml (rule id),
// SL = https://github.com/secretlint/secretlint/tree/master/packages (package). Why the sets themselves are not used: docs/decisions/secret-rules.md.
//
// Every quantifier is bounded, so that the time of a match is linear in its length.

export interface TokenRule {
  kind: string;
  source: string;
  /** Starts with fixed characters and has no capturing group. */
  pattern: string;
  /** True if the length is fixed, so that a token that is broken over lines can be joined exactly. */
  exact?: true;
  /** True if the prefix is short: a match that is followed by a letter or digit is part of a longer word and no token. */
  alone?: true;
}

const W = '[\\w-]';

const commonRules: TokenRule[] = [
  {
    kind: 'aws-access-key',
    source: 'GL aws-access-token; https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html',
    pattern: '(?:A3T[A-Z0-9]|AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}',
    exact: true,
    alone: true,
  },
  {
    kind: 'gcp-api-key',
    source: 'GL gcp-api-key; https://cloud.google.com/docs/authentication/api-keys',
    pattern: `AIza${W}{35}`,
    exact: true,
  },
  {
    kind: 'gcp-oauth-secret',
    source: 'https://developers.google.com/identity/protocols/oauth2',
    pattern: `GOCSPX-${W}{28}`,
    exact: true,
  },
  {
    kind: 'gcp-access-token',
    source: 'https://cloud.google.com/docs/authentication/token-types',
    pattern: `ya29\\.${W}{30,300}`,
  },
  {
    kind: 'azure-client-secret',
    source: 'GL azure-ad-client-secret',
    pattern: '[a-zA-Z0-9_~.]{3}\\dQ~[a-zA-Z0-9_~.-]{31,34}',
  },
  {
    kind: 'github-token',
    source:
      'GL github-pat, -oauth, -app-token, -refresh-token; https://github.blog/2021-04-05-behind-githubs-new-authentication-token-formats/',
    pattern: 'gh[opusr]_[A-Za-z0-9]{36}',
    exact: true,
  },
  { kind: 'github-fine-grained-token', source: 'GL github-fine-grained-pat', pattern: 'github_pat_\\w{82}', exact: true },
  {
    kind: 'gitlab-token',
    source: 'GL gitlab-pat and siblings; https://docs.gitlab.com/security/tokens/#token-prefixes',
    pattern: `(?:gl(?:pat|dt|rt|cbt|ptt|ft|imt|agent|soat|oas)-|GR1348941)[\\w.-]{20,64}`,
  },
  {
    kind: 'slack-token',
    source: 'GL slack-bot-token and siblings; https://api.slack.com/concepts/token-types',
    pattern: '(?:xox[abeoprs]-|xapp-|xoxe\\.)[\\w.-]{11,250}',
  },
  {
    kind: 'slack-webhook',
    source: 'GL slack-webhook-url; https://api.slack.com/messaging/webhooks',
    pattern: 'https://hooks\\.slack\\.com/(?:services|workflows|triggers)/[A-Za-z0-9+/]{30,80}',
  },
  {
    kind: 'stripe-key',
    source: 'GL stripe-access-token; https://docs.stripe.com/keys',
    pattern: '(?:[rs]k_(?:test|live|prod)|whsec)_[A-Za-z0-9+/]{10,250}',
  },
  {
    kind: 'twilio-key',
    source: 'GL twilio-api-key; https://www.twilio.com/docs/iam/api-keys',
    pattern: 'SK[0-9a-f]{32}',
    exact: true,
    alone: true,
  },
  {
    kind: 'sendgrid-key',
    source: 'GL sendgrid-api-token',
    pattern: `SG\\.${W}{22}\\.${W}{43}`,
    exact: true,
  },
  { kind: 'mailgun-key', source: 'GL mailgun-private-api-token', pattern: 'key-[a-f0-9]{32}', exact: true, alone: true },
  { kind: 'mailchimp-key', source: 'GL mailchimp-api-key', pattern: '[a-f0-9]{32}-us\\d{1,2}' },
  {
    kind: 'npm-token',
    source: 'GL npm-access-token; SL secretlint-rule-npm',
    pattern: 'npm_[A-Za-z0-9]{36}',
    exact: true,
  },
  { kind: 'pypi-token', source: 'GL pypi-upload-token; https://pypi.org/help/#apitoken', pattern: `pypi-AgE${W}{50,1000}` },
  {
    kind: 'anthropic-key',
    source: 'GL anthropic-api-key; SL secretlint-rule-anthropic',
    pattern: `sk-ant-${W}{24,200}`,
  },
  {
    kind: 'openai-key',
    source: 'GL openai-api-key; SL secretlint-rule-openai',
    pattern: `sk-(?:(?:proj|svcacct|admin|None)-${W}{20,300}|(?:or-v1-)?[A-Za-z0-9]{32,96})`,
  },
  { kind: 'huggingface-token', source: 'GL huggingface-access-token', pattern: '(?:hf|api_org)_[A-Za-z0-9]{34}', exact: true },
  { kind: 'groq-key', source: 'https://console.groq.com/keys', pattern: 'gsk_[A-Za-z0-9]{52}', exact: true },
  { kind: 'perplexity-key', source: 'GL perplexity-api-key', pattern: 'pplx-[a-zA-Z0-9]{48}', exact: true },
  {
    kind: 'replicate-token',
    source: 'https://replicate.com/docs/reference/http#authentication',
    pattern: 'r8_[A-Za-z0-9]{37}',
    exact: true,
  },
  {
    kind: 'digitalocean-token',
    source: 'GL digitalocean-pat, -access-token, -refresh-token',
    pattern: 'do[opr]_v1_[a-f0-9]{64}',
    exact: true,
  },
  {
    kind: 'telegram-bot-token',
    source: 'GL telegram-bot-api-token; https://core.telegram.org/bots/api#authorizing-your-bot',
    pattern: `(?:bot)?\\d{8,10}:A${W}{34}`,
  },
  {
    kind: 'discord-token',
    source: 'https://discord.com/developers/docs/reference#authentication',
    pattern: `[MNO][A-Za-z\\d]${W}{21,26}\\.${W}{6}\\.${W}{27,40}`,
  },
  {
    kind: 'discord-webhook',
    source: 'https://discord.com/developers/docs/resources/webhook',
    pattern: `https://(?:\\w{1,9}\\.)?discord(?:app)?\\.com/api/webhooks/\\d{17,20}/${W}{60,80}`,
  },
  {
    kind: 'shopify-token',
    source: 'GL shopify-access-token and siblings',
    pattern: 'shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}',
    exact: true,
  },
  { kind: 'square-token', source: 'GL square-access-token', pattern: `(?:EAAA${W}{60}|sq0(?:atp|csp)-${W}{22,43})` },
  { kind: 'databricks-token', source: 'GL databricks-api-token', pattern: 'dapi[a-f0-9]{32}(?:-\\d)?' },
  { kind: 'doppler-token', source: 'GL doppler-api-token', pattern: 'dp\\.(?:pt|st|ct|sa|scim|audit)\\.[A-Za-z0-9._]{40,60}' },
  {
    kind: 'vault-token',
    source: 'GL vault-service-token, vault-batch-token; https://developer.hashicorp.com/vault/docs/concepts/tokens',
    pattern: `hv[sbr]\\.${W}{24,300}`,
  },
  { kind: 'terraform-token', source: 'GL hashicorp-tf-api-token', pattern: `[A-Za-z0-9]{14}\\.atlasv1\\.[\\w=-]{60,70}` },
  { kind: 'linear-key', source: 'GL linear-api-key', pattern: 'lin_api_[A-Za-z0-9]{40}', exact: true },
  { kind: 'notion-token', source: 'GL notion-api-token', pattern: '(?:ntn_[A-Za-z0-9]{40,60}|secret_[A-Za-z0-9]{43})' },
  { kind: 'atlassian-token', source: 'GL atlassian-api-token', pattern: 'ATATT3[\\w=-]{100,250}' },
  { kind: 'postman-key', source: 'GL postman-api-token', pattern: 'PMAK-[a-fA-F0-9]{24}-[a-fA-F0-9]{34}', exact: true },
  {
    kind: 'grafana-token',
    source: 'GL grafana-cloud-api-token, -service-account-token',
    pattern: 'gl(?:c_[A-Za-z0-9+/=]{32,400}|sa_[A-Za-z0-9]{32}_[A-Fa-f0-9]{8})',
  },
  { kind: 'sentry-token', source: 'GL sentry-org-token, -user-token', pattern: 'sntr(?:ys_[\\w+/=-]{60,400}|yu_[a-f0-9]{64})' },
  { kind: 'newrelic-key', source: 'GL new-relic-user-api-key', pattern: 'NRAK-[A-Za-z0-9]{27}', exact: true },
  {
    kind: 'age-key',
    source: 'GL age-secret-key',
    pattern: 'AGE-SECRET-KEY-(?:PQ-)?1[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{58}',
    exact: true,
  },
  {
    kind: 'agent-memory-key',
    source: 'src/auth/secrets.ts of this service',
    pattern: `am[krip]\\.[A-Za-z0-9]${W}{0,62}\\.[a-z]{3}_[0-9a-z]{26}\\.${W}{43}`,
  },
];

export const tokenRules: TokenRule[] = [...commonRules, ...issuerRules];

const all = tokenRules.map(({ pattern }) => `(${pattern})`).join('|');
/** One expression for all rules, in which each rule is one group. */
export const anyToken = new RegExp(`(?<![A-Za-z0-9])(?:${all})`, 'g');
/** The same at a fixed position, regardless of what precedes it. */
export const tokenAt = new RegExp(`(?:${all})`, 'y');
