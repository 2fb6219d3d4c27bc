/** Parses listen addresses and certificates from options. */
import { resolve } from "node:path";
import { SynclineError } from "../../base/errors.ts";
import { type CertificateFiles, requirePair } from "../../http/certificate.ts";
import type { Certificate } from "../../http/listen.ts";
import type { Options } from "../options.ts";
import { textOf } from "../terminal/text-file.ts";

export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

/** "127.0.0.1:3600", "[::1]:3600", "example.org:0". Throws `usage`; `option` is the option's name. */
export function parseListen(text: string, option = "--listen"): ListenAddress {
  const parts = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]\s/]+)):(\d{1,5})$/.exec(text);
  const port = Number(parts?.[3]);
  if (parts === null || port > 65_535) {
    throw new SynclineError("usage", `${option}: ${JSON.stringify(text)} is not HOST:PORT.`, {
      hint: "For example 127.0.0.1:3600 or [::1]:3600.",
    });
  }
  return { host: parts[1] ?? parts[2] ?? "", port };
}

/** The certificate and key that were given, as PEM texts. Throws `usage`, `config_invalid`. */
export function tlsTexts(options: TlsOptions): Certificate | undefined {
  const files = tlsFiles(options);
  return files && requirePair({ cert: textOf(files.cert), key: textOf(files.key) }, files);
}

/** The absolute paths of the certificate and key that were given. Throws `usage`. */
export function tlsFiles({ tlsCert, tlsKey }: TlsOptions): CertificateFiles | undefined {
  if ((tlsCert === undefined) !== (tlsKey === undefined)) {
    throw new SynclineError("usage", "--tls-cert and --tls-key must be given together.");
  }
  return tlsCert === undefined || tlsKey === undefined ? undefined : { cert: resolve(tlsCert), key: resolve(tlsKey) };
}

type TlsOptions = Pick<Options, "tlsCert" | "tlsKey">;
