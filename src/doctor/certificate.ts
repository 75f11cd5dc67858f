import { createPrivateKey, X509Certificate } from 'node:crypto';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { type Finding, failed, findingsOrOk, skipped, warning } from './finding.ts';

const DAY_MS = 86_400_000;
/** Let's Encrypt renews thirty days before the end: later than this the renewal has failed more than once. */
const SOON_DAYS = 14;
const CHECK = 'certificate';

/** The files that nginx serves with: readable, of now, of one pair, and for this name. */
export function judgeCertificate(dir: string, host: string | undefined): Finding[] {
  const [certFile, keyFile] = [join(dir, 'cert.pem'), join(dir, 'key.pem')];
  if (!existsSync(certFile)) return [skipped(CHECK, `there is none in ${dir} (--certificates DIR looks elsewhere)`)];
  let cert: X509Certificate;
  try {
    cert = new X509Certificate(readFileSync(certFile));
  } catch (error) {
    return [
      failed(
        CHECK,
        `${certFile} is no certificate that can be read (${(error as Error).message})`,
        `openssl x509 -in ${certFile} -noout -text`,
      ),
    ];
  }
  const days = Math.floor((Date.parse(cert.validTo) - Date.now()) / DAY_MS);
  return findingsOrOk(CHECK, `${cert.subjectAltName ?? cert.subject}, ${days} days left`, [
    ...judgeTime(cert, certFile, days),
    ...judgeKey(cert, keyFile),
    ...judgeName(cert, certFile, host),
  ]);
}

function judgeTime(cert: X509Certificate, file: string, days: number): Finding[] {
  const renew = `certbot renew   # for development: scripts/make-cert.sh --force; then reload nginx`;
  if (Date.parse(cert.validFrom) > Date.now()) return [failed(CHECK, `${file} is not valid before ${cert.validFrom}`, 'date -u')];
  if (days < 0) return [failed(CHECK, `${file} expired on ${cert.validTo}`, renew)];
  return days < SOON_DAYS ? [warning(CHECK, `${file} expires in ${days} days, on ${cert.validTo}`, renew)] : [];
}

function judgeKey(cert: X509Certificate, file: string): Finding[] {
  const stat = statSync(file, { throwIfNoEntry: false });
  if (!stat) return [failed(CHECK, `${file} is missing`, `ls -l ${file}`)];
  const open = stat.mode & 0o044 ? [failed(CHECK, `${file} can be read by others`, `chmod 600 ${file}`)] : [];
  try {
    if (cert.checkPrivateKey(createPrivateKey(readFileSync(file)))) return open;
    return [
      ...open,
      failed(
        CHECK,
        `${file} is the key of another certificate`,
        `openssl pkey -in ${file} -pubout   # and: openssl x509 -in cert.pem -noout -pubkey`,
      ),
    ];
  } catch (error) {
    return [
      ...open,
      failed(CHECK, `${file} cannot be read as a key (${(error as Error).message})`, `openssl pkey -in ${file} -check -noout`),
    ];
  }
}

function judgeName(cert: X509Certificate, file: string, host: string | undefined): Finding[] {
  if (host === undefined || cert.checkHost(host)) return [];
  return [
    failed(
      CHECK,
      `${file} is for ${cert.subjectAltName ?? cert.subject}, not for ${host}`,
      `openssl x509 -in ${file} -noout -ext subjectAltName`,
    ),
  ];
}
