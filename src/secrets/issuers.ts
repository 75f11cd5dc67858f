import type { Rule } from './rules.ts';

// Forms that issuers introduced or that the first table lacked, with the same notation and the same bounds. SL = secretlint's rule
// packages, GL = gitleaks' rules; the others are named by the prefix that each issuer documents for its own keys.

const rule = (kind: string, source: string, pattern: string, more: Partial<Rule> = {}): Rule => ({
  kind,
  source,
  pattern,
  ...more,
});
const fixed = { exact: true } as const;
const alone = { exact: true, alone: true } as const;
const [W, A, HEX, UUID] = ['[\\w-]', '[A-Za-z0-9]', '[a-f0-9]', '[a-f0-9]{8}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{12}'];

export const issuers: Rule[] = [
  rule('xai-key', 'docs.x.ai', `xai-${A}{60,120}`),
  rule(
    'openai-compatible-key',
    'Langfuse, Helicone and others after OpenAI’s form',
    `sk-(?:lf|helicone|live|test|api)${W}{0,12}-${W}{16,200}`,
  ),
  rule('fireworks-key', 'docs.fireworks.ai', `fw_${A}{20,64}`),
  rule('together-key', 'docs.together.ai', `tgp_v1_${W}{32,80}`),
  rule('elevenlabs-key', 'elevenlabs.io/docs', `sk_${HEX}{48}`, fixed),
  rule('langsmith-key', 'docs.smith.langchain.com', `lsv2_(?:pt|sk)_${HEX}{32}_${HEX}{10}`, fixed),
  rule('tavily-key', 'docs.tavily.com', `tvly-${W}{24,80}`),
  rule('pinecone-key', 'docs.pinecone.io', `pcsk_${A}{5,10}_${A}{40,80}`),
  rule('nvidia-key', 'docs.api.nvidia.com', `nvapi-${W}{50,100}`),
  rule('cerebras-key', 'inference-docs.cerebras.ai', `csk-${A}{40,64}`),
  rule('jina-key', 'jina.ai', `jina_${W}{50,80}`),
  rule('firecrawl-key', 'docs.firecrawl.dev', `fc-${HEX}{32}`, alone),
  rule('voyage-key', 'docs.voyageai.com', `pa-${W}{43}`, alone),
  rule('aws-bedrock-key', 'GL aws-amazon-bedrock-api-key-long-lived', 'ABSK[A-Za-z0-9+/]{80,300}={0,2}'),
  rule('aws-session-token', 'docs.aws.amazon.com/STS', '(?:IQoJb3JpZ2lu|FwoGZXIvYXdz|FQoGZXIvYXdz)[A-Za-z0-9/+=]{80,2000}'),
  rule('gcp-refresh-token', 'developers.google.com/identity', `1//0${W}{38,120}`),
  rule(
    'azure-key',
    'GL azure; the marks of identifiable keys',
    `${A}{52}JQQJ99${A}{26}|${A}{76}AZDO${A}{4}|${W}{44}AzFu${W}{6,8}={0,2}`,
  ),
  rule('gitlab-token', 'docs.gitlab.com/security/tokens', `gl(?:rtr|wt|ffct)-${W}{20,64}`),
  rule('slack-token', 'api.slack.com; xoxc and xoxd belong to a browser', 'xox[cd]-[\\w.%/+=-]{20,400}'),
  rule('stripe-key', 'docs.stripe.com/keys', `sk_org_(?:live|test)_${A}{20,250}`),
  rule('rubygems-key', 'GL rubygems-api-token', `rubygems_${HEX}{48}`, fixed),
  rule('cargo-token', 'crates.io', `cio${A}{32}`, alone),
  rule('nuget-key', 'learn.microsoft.com/nuget', 'oy2[a-z0-9]{43}', alone),
  rule('docker-token', 'docs.docker.com/security/for-developers/access-tokens', `dckr_[po]at_${W}{27,40}`),
  rule('clojars-token', 'GL clojars-api-token', 'CLOJARS_[a-z0-9]{60}', fixed),
  rule('supabase-key', 'supabase.com/docs/guides/api/api-keys', `sbp_(?:v0_)?${HEX}{40}|sb_secret_${W}{24,64}`),
  rule('vercel-token', 'vercel.com/docs', `vc[pakir]_${A}{24,80}`),
  rule('netlify-token', 'docs.netlify.com', `nf[pcob]_${A}{36,64}`),
  rule('cloudflare-token', 'GL cloudflare; developers.cloudflare.com', `v1\\.0-${HEX}{24}-${HEX}{146}|cf(?:ut|at|k)_${W}{40,64}`),
  rule('fly-token', 'GL flyio-access-token', `fo1_${W}{43}|fm[12][ar]?_[A-Za-z0-9+/=_-]{60,3000}`),
  rule('render-key', 'api-docs.render.com', `rnd_${A}{28,40}`),
  rule('planetscale-token', 'GL planetscale', `pscale_(?:tkn|pw|oauth)_[\\w.=-]{32,64}`),
  rule('neon-key', 'neon.tech/docs', `napi_${A}{60,70}`),
  rule('linear-key', 'linear.app/developers', `lin_(?:oauth|wh)_${A}{32,80}`),
  rule('figma-token', 'figma.com/developers', `fig[dourh]_${W}{36,64}`),
  rule('airtable-token', 'GL airtable-personnal-access-token', `pat${A}{14}\\.${HEX}{64}`, fixed),
  rule('atlassian-token', 'SL; support.atlassian.com', `AT(?:CTT3|STT3|BB)${W}{24,250}(?:=[A-F0-9]{8})?`),
  rule('dropbox-token', 'dropbox.com/developers', `sl\\.(?:u\\.)?${W}{60,2000}`),
  rule('hubspot-token', 'GL hubspot', `pat-(?:na|eu|ap)\\d-${UUID}`),
  rule('contentful-token', 'contentful.com/developers', `CFPAT-${W}{43,64}`),
  rule('typeform-token', 'GL typeform-api-token', `tfp_[\\w.=-]{44,64}`),
  rule('prefect-key', 'GL prefect-api-token', `pn[ub]_${A}{36}`, fixed),
  rule('pulumi-token', 'GL pulumi-api-token', `pul-${HEX}{40}`, fixed),
  rule('plaid-token', 'GL plaid-api-token', `access-(?:sandbox|development|production)-${UUID}`),
  rule(
    'braintree-token',
    'GL braintree; developer.paypal.com',
    `access_token\\$(?:production|sandbox)\\$[a-z0-9]{16}\\$${HEX}{32}`,
    fixed,
  ),
  rule('brevo-key', 'GL sendinblue-api-token', `x(?:keysib|smtpsib)-${HEX}{64}-${A}{16}`, fixed),
  rule('resend-key', 'resend.com/docs', `re_${A}{8}_${A}{22,32}`),
  rule('twilio-account', 'GL twilio; an account’s id beside its keys', `AC${HEX}{32}`, alone),
  rule('telnyx-key', 'developers.telnyx.com', 'KEY[0-9A-F]{32}_[A-Za-z0-9]{22}', fixed),
  rule('grafana-key', 'GL grafana-api-key', `eyJrIjoi${A}{60,400}={0,2}`),
  rule('newrelic-key', 'GL new-relic', `NR(?:JS|II|RA)-${W}{19,40}|${HEX}{36}NRAL`),
  rule('dynatrace-token', 'GL dynatrace-api-token', 'dt0[a-z]\\d\\d\\.[A-Z2-7]{24}\\.[A-Z2-7]{64}', fixed),
  rule('honeycomb-key', 'docs.honeycomb.io', `hc[abc][im]k_${A}{40,70}`),
  rule('posthog-key', 'posthog.com/docs', `phx_${A}{40,60}`),
  rule('segment-token', 'segment.com/docs', `sgp_${A}{60,70}`),
  rule('launchdarkly-key', 'GL launchdarkly-access-token', `(?:sdk|api)-${UUID}`, alone),
  rule('snyk-token', 'docs.snyk.io', `snyk_(?:uat|sat)\\.${HEX}{8}\\.[\\w.-]{40,400}`),
  rule('sonar-token', 'GL sonar-api-token', `sq[pua]_${HEX}{40}`, fixed),
  rule('circleci-token', 'circleci.com/docs', `CCI(?:PAT|PRJ)_[\\w-]{40,90}`),
  rule('buildkite-token', 'buildkite.com/docs', `bk(?:ua|at|aj)_${HEX}{40}`, fixed),
  rule('artifactory-key', 'GL artifactory', `AKCp${A}{60,80}|cmVmdGtuO${A}{50,70}`),
  rule('alibaba-access-key', 'GL alibaba-access-key-id', `LTAI${A}{16,20}`, alone),
  rule('tencent-access-key', 'cloud.tencent.com/document', `AKID${A}{32}`, alone),
  rule('yandex-token', 'GL yandex', `AQVN${W}{35,38}|y[0-3]_${W}{50,60}|t1\\.[A-Z0-9a-z_-]{20,}[=]{0,2}\\.[\\w-]{86}`),
  rule(
    'onepassword-token',
    'SL secretlint-rule-1password',
    `ops_eyJ[A-Za-z0-9+/]{60,1300}={0,2}|A3-[A-Z0-9]{6}-(?:[A-Z0-9]{5,6}-){3,4}[A-Z0-9]{5}`,
  ),
  rule('tailscale-key', 'tailscale.com/kb', `tskey-(?:auth|api|client|webhook|scim)-${A}{8,20}-${A}{20,40}`),
  rule('heroku-key', 'devcenter.heroku.com', `HRKU-${W}{36,64}`),
  rule('easypost-key', 'GL easypost', `EZ[AT]K${A}{54}`, fixed),
  rule('shippo-token', 'GL shippo-api-token', `shippo_(?:live|test)_${HEX}{40}`, fixed),
  rule('duffel-token', 'GL duffel-api-token', `duffel_(?:live|test)_${W}{43}`),
  rule('flutterwave-key', 'GL flutterwave-secret-key', `FLWSECK(?:_TEST)?-${A}{12,40}(?:-X)?`),
  rule('mapbox-token', 'docs.mapbox.com', `sk\\.eyJ${W}{40,120}\\.${W}{20,30}`),
  rule('facebook-token', 'GL facebook', `EAA[MC]${A}{60,300}|EAACEdEose0cBA${A}{20,300}`),
  rule('twitter-bearer', 'GL twitter-bearer-token', 'A{20}\\w{2,40}%[\\w%]{40,90}'),
  rule('readme-key', 'GL readme-api-token', 'rdme_[a-z0-9]{70}', fixed),
  rule('infracost-key', 'GL infracost-api-token', `ico-${A}{32}`, alone),
  rule('mongodb-atlas-key', 'mongodb.com/docs/atlas', `mdb_sa_sk_${W}{36,60}`),
  rule('infisical-token', 'infisical.com/docs', `st\\.${HEX}{24}\\.${HEX}{32}(?:\\.${HEX}{32})?`),
  rule('nostr-key', 'NIP-19', 'nsec1[02-9ac-hj-np-z]{58}', fixed),
  rule('discord-mfa-token', 'discord.com/developers', `mfa\\.${W}{60,100}`),
  rule('gitea-token', 'Gitea and Forgejo behind a name', `gt[ao]_${HEX}{40}`, fixed),
  rule('zuplo-key', 'GL zuplo', `zpka_${HEX}{32}_${HEX}{8}`, fixed),
];

/** Three characters that stand in each of these forms, for the table in anchors.ts. */
export const anchors =
  `xai -lf hel -li -te -ap fw_ tgp sk_ lsv tvl pcs nva csk jin fc- pa- ABS IQo Fwo FQo 1// QQJ ZDO zFu lrt lwt lff xox rub cio oy2
  dck CLO sbp sb_ vcp vca vck vci vcr nfp nfc nfo nfb 1.0 cfu cfa cfk fo1 fm1 fm2 rnd psc nap lin igd igo igu igr igh pat sl. CFP tfp pnu pnb
  pul acc xke xsm re_ KEY eyJ NRJ NRI NRR RAL dt0 hca hcb hcc phx sgp sdk api sny sqp squ sqa CCI bku bka AKC cmV LTA AKI AQV y0_ y1_ y2_ y3_ t1.
  ops A3- tsk HRK EZA EZT ppo duf FLW sk. EAA AAA rdm ico mdb st. nse mfa gta gto zpk ATC ATS ATB`.split(/\s+/);
