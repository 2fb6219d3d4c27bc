/** The WebDAV door as options describe it: listen address, host names, logins. */
import { join } from "node:path";
import { SynclineError } from "../../base/errors.ts";
import type { DoorReport, WebdavSetup } from "../../agent/doors/doors.ts";
import { readStateFile } from "../../agent/state/state-file.ts";
import { isLoopback } from "../../net/origin.ts";
import { decodePasswords } from "../../webdav/sign-in/app-passwords.ts";
import type { Call } from "../command.ts";
import { configFolder } from "../config-file.ts";
import { parseHostName } from "../host-name.ts";
import { keptCertificate, keptFiles } from "./kept-certificate.ts";
import { parseListen, tlsFiles, tlsTexts } from "./listen.ts";
import { takesOver } from "./taking-over.ts";
import type { Runtime } from "../runtime.ts";
import { printText } from "../terminal/text.ts";

export const WEBDAV_OPTIONS = ["host", "tlsCert", "tlsKey", "tlsSelfSigned", "noAuth"] as const;
/** The name of the certificate that the state keeps. */
const CERTIFICATE = "webdav";
export type WebdavCall = Call<(typeof WEBDAV_OPTIONS)[number] | "insecure">;

/**
 * Makes the door, given the state that keeps its certificate. `option` is the one that `listen` came from. Throws `usage`,
 * `config_invalid`, but not for a file in an agent that takes over: its mount goes on, and the door is tried until it opens.
 */
export function webdavDoor(call: WebdavCall, listen: string, option: string): (stateDir: string) => WebdavSetup {
  const { options, runtime } = call;
  const { host, port } = parseListen(listen, option);
  const names = (options.host ?? []).map(parseHostName);
  const given = tlsFiles(options);
  const selfSigned = options.tlsSelfSigned === true;
  if (given !== undefined && selfSigned) {
    throw new SynclineError("usage", "--tls-self-signed and --tls-cert cannot be combined: give only one.");
  }
  if (given === undefined && !selfSigned && !isLoopback(host) && options.insecure !== true) {
    throw new SynclineError("usage", `Other machines could read files and passwords sent to ${host}.`, {
      hint: "Give --tls-cert and --tls-key, or --tls-self-signed, or listen on 127.0.0.1. --insecure skips this check.",
    });
  }
  const mayWait = takesOver(runtime);
  if (!mayWait) tlsTexts(options);
  const passwordFile = passwordFileOf(call, host, mayWait);
  return (stateDir) => {
    if (selfSigned) keepCertificate(runtime, stateDir, [host, ...names], mayWait);
    const tls = selfSigned ? keptFiles(stateDir, CERTIFICATE) : given;
    return { door: "webdav", host, port, tls, names, passwordFile };
  };
}

function keepCertificate(runtime: Runtime, stateDir: string, names: readonly string[], mayWait: boolean): void {
  try {
    keptCertificate(runtime, stateDir, CERTIFICATE, names);
  } catch (error) {
    if (!mayWait) throw error;
  }
}

/** Where app passwords are kept: one file for all buckets of this user. */
export function passwordPath(runtime: Runtime): string {
  return join(configFolder(runtime.env), "webdav-passwords.json");
}

/** For JSON beside the other doors. */
export function webdavValue(doors: readonly DoorReport[]): { webdav?: string; fingerprint?: string } {
  for (const door of doors) {
    if (door.door === "webdav") {
      return { webdav: door.url, ...(door.fingerprint === null ? {} : { fingerprint: door.fingerprint }) };
    }
  }
  return {};
}

export function webdavText(doors: readonly DoorReport[]): string[] {
  const { webdav, fingerprint } = webdavValue(doors);
  if (webdav === undefined) return [];
  const certificate = fingerprint === undefined ? [] : [`Its certificate's SHA-256 fingerprint is ${fingerprint}.`];
  return [`WebDAV is at ${printText(webdav)}.`, ...certificate];
}

function passwordFileOf({ options, runtime }: WebdavCall, host: string, mayWait: boolean): string | undefined {
  if (options.noAuth === true) {
    if (isLoopback(host)) return undefined;
    throw new SynclineError(
      "usage",
      `--no-auth needs a loopback address: on ${host}, other machines could change everything.`,
    );
  }
  const path = passwordPath(runtime);
  if (mayWait) return path;
  const bytes = readStateFile(path);
  if (bytes !== undefined && decodePasswords(bytes, path).length > 0) return path;
  throw new SynclineError("usage", "There is no WebDAV password yet, so nobody could sign in.", {
    hint: "Create one: syncline webdav password. Or let anyone on this machine in: --no-auth.",
  });
}
