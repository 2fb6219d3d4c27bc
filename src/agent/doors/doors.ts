/** The doors of an agent as plain data: how to open each, and what was opened. */
import type { OwnerRule } from "../../fuse/owners.ts";
import type { CertificateFiles } from "../../http/certificate.ts";

/** What a door needs to open. */
export type DoorSetup = MountSetup | WebdavSetup;

export interface MountSetup extends MountReport {
  /** Which owners it shows. */
  readonly owners: OwnerRule;
  /** Index programs: they may fetch only a few blocks from the bucket. */
  readonly indexPrograms: readonly string[];
  /** Whether every directory has a hidden `.history`. */
  readonly history: boolean;
  /** Whether access control lists are enforced. */
  readonly acl: boolean;
  readonly birthTimes: boolean;
  /** Whether the kernel refuses to run programs from it. */
  readonly noexec: boolean;
}

export interface MountReport {
  readonly door: "mount";
  /** An absolute path. */
  readonly mount: string;
}

/** WebDAV over HTTP. */
export interface WebdavSetup {
  readonly door: "webdav";
  readonly host: string;
  /** 0 for any free port. */
  readonly port: number;
  /** Absolute paths, read when the door opens. Undefined for plain HTTP. */
  readonly tls: CertificateFiles | undefined;
  /** Host names that it answers to, besides this machine's own and `host`. */
  readonly names: readonly string[];
  /** The file of app passwords; undefined to let everyone in. */
  readonly passwordFile: string | undefined;
}

/** An open door, as status shows it. */
export type DoorReport = MountReport | WebdavReport | SyncedFolderReport;

export interface SyncedFolderReport {
  readonly door: "sync";
  readonly folder: string;
}

export interface WebdavReport {
  readonly door: "webdav";
  /** "http://127.0.0.1:8888/" */
  readonly url: string;
  /** The certificate's SHA-256; null without TLS. */
  readonly fingerprint: string | null;
}

/** The agent's mount point, if it has one. */
export function mountOf(doors: readonly (DoorSetup | DoorReport)[]): string | undefined {
  for (const door of doors) if (door.door === "mount") return door.mount;
  return undefined;
}
