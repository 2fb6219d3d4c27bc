/** A server's certificate and key, as files. */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { SynclineError } from "../base/errors.ts";
import { escapeForPrint } from "../base/names.ts";
import type { Certificate } from "./listen.ts";

/** Paths of PEM files. */
export interface CertificateFiles {
  readonly cert: string;
  readonly key: string;
}

/** Throws `config_invalid`, naming the file. A server also starts with empty files, but then no client can connect. */
export function requirePair(texts: Certificate, files: CertificateFiles): Certificate {
  const certificate = parsed(files.cert, "certificate", () => new X509Certificate(texts.cert));
  const key = parsed(files.key, "unencrypted private key", () => createPrivateKey(texts.key));
  if (certificate.checkPrivateKey(key)) return texts;
  throw unusable(
    `The TLS key ${escapeForPrint(files.key)} does not belong to the certificate ${escapeForPrint(files.cert)}.`,
  );
}

function parsed<Value>(file: string, what: string, parse: () => Value): Value {
  try {
    return parse();
  } catch (cause) {
    throw unusable(`${escapeForPrint(file)} holds no ${what} in PEM.`, cause);
  }
}

function unusable(message: string, cause?: unknown): SynclineError {
  return new SynclineError("config_invalid", message, {
    hint: "Give the certificate, with its chain if any, and the key that it was made for.",
    cause,
  });
}
