import { createPrivateKey, X509Certificate } from 'node:crypto';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { type Finding, failed, findingsOrOk, skipped, warning } from './finding.ts';

const DAY_MS = 86_400_000;
/** Let's Encrypt certificates are renewed 30 days before they expire. With fewer days left, the renewal has failed repeatedly. */
const SOON_DAYS = 14;
const CHECK = 'certificate';

/** Checks nginx's certificate and key: readable, currently valid, matching each other, and valid for the host name. */
export function checkCertificate(dir: string, host: string | undefined): Finding[] {
  const [certFile, keyFile] = [join(dir, 'cert.pem'), join(dir, 'key.pem')];
  if (!existsSync(certFile)) return [skipped(CHECK, `none in ${dir} (set another directory with --certificates DIR)`)];
  let cert: X509Certificate;
  try {
    cert = new X509Certificate(readFileSync(certFile));
  } catch (error) {
    return [
      failed(
        CHECK,
        `${certFile} is not a readable certificate (${(error as Error).message})`,
        `openssl x509 -in ${certFile} -noout -text`,
      ),
    ];
  }
  const days = Math.floor((Date.parse(cert.validTo) - Date.now()) / DAY_MS);
  return findingsOrOk(CHECK, `${cert.subjectAltName ?? cert.subject}, ${days} days left`, [
    ...checkTime(cert, certFile, days),
    ...checkKey(cert, keyFile),
    ...checkName(cert, certFile, host),
  ]);
}

function checkTime(cert: X509Certificate, file: string, days: number): Finding[] {
  const renew = `certbot renew   # for development: scripts/make-cert.sh --force; then reload nginx`;
  if (Date.parse(cert.validFrom) > Date.now()) return [failed(CHECK, `${file} is not valid before ${cert.validFrom}`, 'date -u')];
  if (days < 0) return [failed(CHECK, `${file} expired on ${cert.validTo}`, renew)];
  return days < SOON_DAYS ? [warning(CHECK, `${file} expires in ${days} days, on ${cert.validTo}`, renew)] : [];
}

function checkKey(cert: X509Certificate, file: string): Finding[] {
  const stat = statSync(file, { throwIfNoEntry: false });
  if (!stat) return [failed(CHECK, `${file} is missing`, `ls -l ${file}`)];
  const open = stat.mode & 0o044 ? [failed(CHECK, `${file} is readable by other users`, `chmod 600 ${file}`)] : [];
  try {
    if (cert.checkPrivateKey(createPrivateKey(readFileSync(file)))) return open;
    return [
      ...open,
      failed(
        CHECK,
        `${file} does not match the certificate`,
        `openssl pkey -in ${file} -pubout   # and: openssl x509 -in cert.pem -noout -pubkey`,
      ),
    ];
  } catch (error) {
    return [
      ...open,
      failed(CHECK, `${file} is not a readable key (${(error as Error).message})`, `openssl pkey -in ${file} -check -noout`),
    ];
  }
}

function checkName(cert: X509Certificate, file: string, host: string | undefined): Finding[] {
  if (host === undefined || cert.checkHost(host)) return [];
  return [
    failed(
      CHECK,
      `${file} is for ${cert.subjectAltName ?? cert.subject}, not for ${host}`,
      `openssl x509 -in ${file} -noout -ext subjectAltName`,
    ),
  ];
}
