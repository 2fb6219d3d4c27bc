/** Whether a state still belongs to the bucket at its address, and what happens to it if not. */
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { unlessSync } from "../../base/unless.ts";
import { hasCode, SynclineError } from "../../base/errors.ts";
import type { Ports } from "../../base/ports.ts";
import { openRemote } from "../../bucket/open-remote.ts";
import { foreignBucket, type RootMemory } from "../../bucket/root-witness.ts";
import { soundGenesis } from "../../bucket/sound-genesis.ts";
import { isWrongCommit } from "../../bucket/verified-commit.ts";
import { decodeGenesis, type Genesis } from "../../format/commits/genesis.ts";
import type { MasterAccess } from "../../net/access.ts";
import { DiskStorage, hasOverlay, removeOverlay } from "../../overlay/disk/disk-storage.ts";
import type { BaseRoot } from "../../overlay/journal/journal-record.ts";
import { Overlay } from "../../overlay/overlay.ts";
import { CONNECTION } from "./connection.ts";
import { LAST_BASE, parseBase } from "./last-base.ts";
import { collectorDirOf } from "./state-dir.ts";
import { readStateFile, removeStateFile, writeStateFile } from "./state-file.ts";

export interface StartOverOptions extends Ports {
  readonly address: string;
  readonly stateDir: string;
  /** What was seen at the address. */
  readonly memory: RootMemory;
  /** Accepts the bucket at the address now, whatever was seen there. */
  readonly accept: boolean;
  readonly access?: MasterAccess | undefined;
  /** Tells people something. */
  readonly onNotice?: (text: string) => void;
}

const NOT_ACCEPTED =
  "Unpublished changes stay. If the bucket has lost what they follow, nothing was accepted: `syncline status` says what to do.";

/** The file in a state that holds the genesis of its bucket. */
export const GENESIS = "genesis";
/** The file that is in a state while the state is being reset. */
const RESET = "reset";

/**
 * Resets a state without unpublished changes if its bucket was replaced or set back and a person accepted that. A state
 * with changes stays with its bucket: it is served, and the problem is reported. Throws `foreign_bucket` if no one accepted
 * the other bucket. Answers what a state of the same bucket showed before its reset.
 */
export async function startOver(options: StartOverOptions): Promise<BaseRoot | undefined> {
  const { address, stateDir, memory, accept, log } = options;
  if (existsSync(join(stateDir, RESET))) reset(stateDir);
  const known = keptGenesis(stateDir);
  const there = known === undefined ? undefined : await genesisAt(options);
  if (known === undefined || there === undefined) return undefined;
  const found = there instanceof SynclineError ? undefined : there.cid;
  if (known.cid === found && !accept) return undefined;
  const { isUnpublished, base } = await storedIn(options);
  if (isUnpublished) {
    if (accept) options.onNotice?.(NOT_ACCEPTED);
    return undefined;
  }
  if (there instanceof SynclineError) throw there;
  if (!accept && memory.read()?.genesis !== there.cid) throw foreignBucket(address, known.cid, there.cid);
  log.warn("The bucket now at this address was accepted. No unpublished changes remain: starting over.", { address });
  reset(stateDir);
  return known.cid === found ? base : undefined;
}

/** If the process dies meanwhile, the next start resets the state again: what is left of it means nothing. */
function reset(stateDir: string): void {
  writeStateFile(join(stateDir, RESET), new Uint8Array());
  removeOverlay(stateDir);
  for (const name of [LAST_BASE, GENESIS, CONNECTION]) rmSync(join(stateDir, name), { force: true });
  rmSync(collectorDirOf(stateDir), { recursive: true, force: true });
  removeStateFile(join(stateDir, RESET));
}

/** Undefined if there is none, or it is damaged: then opening the bucket reads it again. */
function keptGenesis(stateDir: string): Genesis | undefined {
  const bytes = readStateFile(join(stateDir, GENESIS));
  return unlessSync(isWrongCommit, () => bytes && decodeGenesis(bytes));
}

/** The genesis at the address, or that a newer version made it; undefined if it is out of reach or lost. */
async function genesisAt({
  address,
  access,
  clock,
  random,
}: StartOverOptions): Promise<Genesis | SynclineError | undefined> {
  await using remote = await openRemote(address, { access, clock, random });
  try {
    return await soundGenesis(remote);
  } catch (error) {
    return hasCode(error, "feature_unknown") ? error : undefined;
  }
}

type StateOptions = Pick<StartOverOptions, "stateDir" | "clock" | "log">;

/** Whether a state has changes that the bucket may lack. The caller holds its lock; no one has its overlay open. */
export async function holdsUnpublished(options: StateOptions): Promise<boolean> {
  return (await storedIn(options)).isUnpublished;
}

/** `base`: the root that it showed last. */
async function storedIn({
  stateDir,
  clock,
  log,
}: StateOptions): Promise<{ readonly isUnpublished: boolean; readonly base: BaseRoot | undefined }> {
  const last = parseBase(readStateFile(join(stateDir, LAST_BASE)));
  if (!hasOverlay(stateDir)) return { isUnpublished: false, base: last };
  // A state without a last root never finished mounting; its contents are kept.
  if (last === undefined) return { isUnpublished: true, base: undefined };
  const overlay = new Overlay({ storage: new DiskStorage(stateDir), base: last, clock, log });
  try {
    const { base, inFlight } = overlay.state;
    return { isUnpublished: overlay.pending().files > 0 || inFlight !== undefined, base };
  } finally {
    await overlay.close();
  }
}
