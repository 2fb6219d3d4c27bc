/** A self-signed certificate that survives restarts, so that clients need to trust it only once. */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { join } from "node:path";
import { readStateFile, writeStateFile } from "../../agent/state/state-file.ts";
import { orElse } from "../../base/unless.ts";
import { makeSelfSigned } from "../../crypto/self-signed.ts";
import type { CertificateFiles } from "../../http/certificate.ts";
import type { Certificate } from "../../http/listen.ts";
import type { Runtime } from "../runtime.ts";

/** Apple's systems trust no certificate beyond 825 days; renewed when a month is left. */
const CERTIFICATE_MS = 800 * 24 * 60 * 60 * 1000;
const RENEW_MS = 30 * 24 * 60 * 60 * 1000;
const CLOCK_SKEW_MS = 60 * 60 * 1000;

export interface KeptCertificate extends Certificate {
  /** The certificate's file, which other machines need in order to trust it. */
  readonly path: string;
}

/**
 * The certificate in `folder`, kept as `NAME-cert.pem` and `NAME-key.pem`, for this machine's own names and `more`. Made
 * anew when it lacks one of them. Throws `local_io_failed`.
 */
export function keptCertificate(
  { clock, random }: Runtime,
  folder: string,
  name: string,
  more: readonly string[],
): KeptCertificate {
  const paths = keptFiles(folder, name);
  const names = [...new Set(["localhost", "127.0.0.1", "::1", ...more])].filter(
    (name) => !/^(0\.0\.0\.0|::)$/.test(name),
  );
  const nowMs = Number(clock.nowNs() / 1_000_000n);
  const [cert, key] = [readStateFile(paths.cert), readStateFile(paths.key)];
  if (cert !== undefined && key !== undefined && isGoodFor(cert, key, names, nowMs)) {
    return { cert: cert.toString("utf8"), key: key.toString("utf8"), path: paths.cert };
  }
  const made = makeSelfSigned(names, nowMs - CLOCK_SKEW_MS, nowMs + CERTIFICATE_MS, random);
  writeStateFile(paths.key, Buffer.from(made.key));
  writeStateFile(paths.cert, Buffer.from(made.cert));
  return { ...made, path: paths.cert };
}

/** Where `keptCertificate` keeps it. */
export function keptFiles(folder: string, name: string): CertificateFiles {
  return { cert: join(folder, `${name}-cert.pem`), key: join(folder, `${name}-key.pem`) };
}

function isGoodFor(pem: Buffer, key: Buffer, names: readonly string[], nowMs: number): boolean {
  return orElse(false, () => {
    const certificate = new X509Certificate(pem);
    if (!certificate.checkPrivateKey(createPrivateKey(key))) return false;
    const covers = (name: string) => (certificate.checkHost(name) ?? certificate.checkIP(name)) !== undefined;
    return Date.parse(certificate.validTo) - nowMs > RENEW_MS && names.every(covers);
  });
}
