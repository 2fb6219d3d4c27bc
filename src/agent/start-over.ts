/** Whether a state still belongs to the bucket at its address, and what becomes of it if not. */
import { rmSync } from "node:fs";
import { join } from "node:path";
import type { Clock } from "../base/clock.ts";
import type { Log } from "../base/log.ts";
import type { Random } from "../base/random.ts";
import { openRemote } from "../bucket/open-remote.ts";
import type { MasterAccess } from "../net/access.ts";
import { DiskStorage, hasOverlay, removeOverlay } from "../overlay/disk-storage.ts";
import { Overlay } from "../overlay/overlay.ts";
import { collectorDirOf } from "./collector-thread.ts";
import { LAST_BASE, parseBase } from "./first-base.ts";
import { readStateFile } from "./state-file.ts";

export interface StartOverOptions {
  readonly address: string;
  readonly stateDir: string;
  readonly access?: MasterAccess | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** The file in a state that holds the genesis of its bucket. */
export const GENESIS = "genesis";

/**
 * Where another bucket lies at the address now, a state that holds nothing unpublished of the old one begins anew. One that
 * does stays with it: it is served, and `foreign_bucket` is reported.
 */
export async function startOver(options: StartOverOptions): Promise<void> {
  const { address, stateDir, log } = options;
  const known = readStateFile(join(stateDir, GENESIS));
  const there = known === undefined ? undefined : await genesisAt(options);
  if (known === undefined || there === undefined || known.equals(there)) return;
  if (await holdsUnpublished(options)) return;
  log.warn("Another bucket lies at the address. Everything of the old one was published: starting anew.", { address });
  removeOverlay(stateDir);
  for (const name of [LAST_BASE, GENESIS]) rmSync(join(stateDir, name), { force: true });
  rmSync(collectorDirOf(stateDir), { recursive: true, force: true });
}

/** The genesis that lies at the address; undefined when it cannot be reached. */
async function genesisAt({ address, access, clock, random }: StartOverOptions): Promise<Uint8Array | undefined> {
  await using remote = await openRemote(address, { access, clock, random });
  try {
    return await remote.readGenesis();
  } catch {
    return undefined;
  }
}

async function holdsUnpublished({ stateDir, clock, log }: StartOverOptions): Promise<boolean> {
  const last = parseBase(readStateFile(join(stateDir, LAST_BASE)));
  if (!hasOverlay(stateDir)) return false;
  // A state without its last root was never mounted to the end; whatever it holds is kept.
  if (last === undefined) return true;
  const overlay = new Overlay({ storage: new DiskStorage(stateDir), base: last, clock, log });
  try {
    return overlay.pending().files > 0 || overlay.state.inFlight !== undefined;
  } finally {
    await overlay.close();
  }
}
