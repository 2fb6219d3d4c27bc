/** The doors of an agent, as plain data: what each is to be, and what became of it. */

/** What a door needs to open. */
export type DoorSetup = MountSetup | WebdavSetup;

/** A FUSE mount. */
export interface MountSetup {
  readonly door: "mount";
  /** Absolute. */
  readonly mount: string;
}

/** WebDAV over HTTP. */
export interface WebdavSetup {
  readonly door: "webdav";
  readonly host: string;
  /** 0 for any that is free. */
  readonly port: number;
  /** PEM texts; without them it speaks plain HTTP. */
  readonly tls: { readonly cert: string; readonly key: string } | undefined;
  /** Names under which it may be called, besides those of this machine itself and `host`. */
  readonly names: readonly string[];
  /** App passwords; undefined: whoever reaches it is let in. */
  readonly passwordFile: string | undefined;
}

/** An open door, as status shows it. */
export type DoorReport = MountSetup | WebdavReport | SyncedFolderReport;

/** A folder that is kept the same. */
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

/** Where the agent is mounted, if it is. */
export function mountOf(doors: readonly (DoorSetup | DoorReport)[]): string | undefined {
  for (const door of doors) if (door.door === "mount") return door.mount;
  return undefined;
}
