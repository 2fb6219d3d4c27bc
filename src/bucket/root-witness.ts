/**
 * The newest root that this machine has seen at an address. Later roots must descend from it: older data put back, or
 * another bucket in its place, is noticed at the next opening of the bucket, not only by a running agent.
 */
import { SynclineError } from "../base/errors.ts";
import type { Cid, Lamport } from "../base/ids.ts";

export interface SeenRoot {
  readonly genesis: Cid;
  readonly root: Cid;
  readonly seq: Lamport;
}

/** Stores one root per address. Shared by all processes that use the same state folder. */
export interface RootMemory {
  read(): SeenRoot | undefined;
  /** Stores this root unless it has a newer one. Best effort: a bucket can be read where no state can be written. */
  note(found: SeenRoot): void;
  /** Replaces the stored root. Best effort, too. */
  replace(found: SeenRoot): void;
}

export interface WitnessOptions {
  /** Accepts any root at the address once, and remembers that from then on. */
  readonly accept: boolean;
}

export class RootWitness {
  readonly #memory: RootMemory;
  #accepts: boolean;

  constructor(memory: RootMemory, { accept }: WitnessOptions) {
    this.#memory = memory;
    this.#accepts = accept;
  }

  /** The root known so far. Ask before reading the root: others may note a newer one meanwhile. */
  known(): SeenRoot | undefined {
    return this.#accepts ? undefined : this.#memory.read();
  }

  note(found: SeenRoot): void {
    if (this.#accepts) this.#memory.replace(found);
    else this.#memory.note(found);
    this.#accepts = false;
  }

  /** Throws `foreign_bucket` where another bucket was seen at the address. */
  requireGenesis(address: string, found: Cid): void {
    const known = this.known();
    if (known !== undefined && known.genesis !== found) throw foreignBucket(address, known.genesis, found);
  }
}

export function foreignBucket(address: string, known: Cid, found: Cid): SynclineError {
  return new SynclineError("foreign_bucket", `${address} held the bucket ${known}, but now holds another: ${found}.`, {
    hint: `Nothing was changed. Check the address and its storage. If the bucket was replaced on purpose: ${ACCEPT}`,
  });
}

/** The error for a root that does not descend from the base. */
export function rootRolledBack(found: Cid): SynclineError {
  const hint = `${WENT_BACK} Restore the newer data. To give it up and continue with the older state: ${ACCEPT}`;
  return new SynclineError(
    "root_rolled_back",
    `The bucket's root ${found} does not descend from the newest root seen here.`,
    { hint },
  );
}

/** The same error for a mount with unpublished changes. `accepted`: a person accepted the root, which did not help them. */
export function rolledBackUnder(error: SynclineError, accepted: boolean): SynclineError {
  const copy = `copy the changed files, and all that is newer than the backup, elsewhere: ${GUIDE}`;
  const instead = accepted ? `Without it, ${copy}` : `Or unmount, and mount with --accept. If that fails, ${copy}`;
  const hint = `${WENT_BACK} Restore the newer data: this mount's unpublished changes follow it. ${instead}`;
  return new SynclineError(error.code, error.message, { hint, cause: error.cause });
}

const WENT_BACK = "The bucket went back to older data, and nothing is published over it.";
const ACCEPT = "run the command again with --accept.";
export const GUIDE = "see 'The bucket was set back or replaced' in docs/guide/operating.md.";
