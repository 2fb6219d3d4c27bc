/**
 * Publishes the folder's changes. A sealed epoch is recorded first: if the process dies before it learns the outcome, the
 * next one checks whether the bucket has it, so that it does not take its own changes for others' (recover-epoch.ts).
 */
import type { Clock } from "../../base/clock.ts";
import type { Lamport } from "../../base/ids.ts";
import type { Log } from "../../base/log.ts";
import type { Random } from "../../base/random.ts";
import type { Bucket } from "../../bucket/bucket.ts";
import type { ChangeSet, DataReader } from "../../fstree/change-set.ts";
import { publishEpoch } from "../../bucket/publish.ts";
import type { Writer } from "../../bucket/publish/next-commit.ts";
import type { PublishOutcome } from "../../bucket/publish/outcome.ts";
import type { SyncDatabase } from "../known/database.ts";
import type { LocalChanges } from "../scan/local-changes.ts";
import type { Found } from "../scan/walk.ts";
import type { Behind } from "./behind-units.ts";
import type { Sealed } from "./sealed.ts";
import { firstLateEpoch, noteSending, noteSent } from "./sent-epochs.ts";
import { seenAsText } from "../known/seen.ts";
import type { StillUnits } from "./still-units.ts";

export interface EpochContext {
  readonly db: SyncDatabase;
  readonly bucket: Bucket;
  readonly writer: Writer;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** A person approved the epoch's deletions. */
  readonly approved?: boolean;
}

/** An epoch number that this device never used. `seen`: the greatest that the bucket knows. */
export function nextEpoch(db: SyncDatabase, seen: number): number {
  const epoch = Math.max(seen, db.count("epoch")) + 1;
  db.setFact("epoch", String(epoch));
  return epoch;
}

export function changeSetOf(
  db: SyncDatabase,
  local: LocalChanges,
  behind: Behind,
  epoch: number,
): ChangeSet | undefined {
  const base = db.base();
  if (base === undefined || local.changes.length === 0) return undefined;
  return {
    epoch,
    reference: base.commit,
    lamport: (base.seq + 1) as Lamport,
    objects: [...local.changes.map(({ changed }) => changed), ...behind.objects],
    directories: new Map([...local.directories, ...behind.directories]),
    notShown: behind.notShown,
  };
}

/** Publishes an epoch. Its record stays until the caller concludes it. Throws what `data` and `units` do. */
export async function publishLocal(
  context: EpochContext,
  changes: ChangeSet,
  local: LocalChanges,
  data: DataReader,
  units: Pick<StillUnits, "check">,
): Promise<PublishOutcome> {
  const { db } = context;
  noteSending(db, sealedOf(changes, local));
  return publishEpoch(context, changes, data, {
    note: "",
    sending: async (sent) => {
      await units.check();
      noteSent(db, changes.epoch, sent);
    },
    late: firstLateEpoch(db),
    approved: context.approved ?? false,
  });
}

/** Paths as base64 names; computed once per directory. */
function pathTexts(): (found: Found) => readonly string[] {
  const directories = new Map<Found, readonly string[]>();
  const textOf = ({ parent, name }: Found): readonly string[] =>
    parent === undefined ? [] : directoryOf(parent).concat(Buffer.from(name, "latin1").toString("base64"));
  const directoryOf = (directory: Found): readonly string[] => {
    const known = directories.get(directory);
    if (known !== undefined) return known;
    const path = textOf(directory);
    directories.set(directory, path);
    return path;
  };
  return textOf;
}

function sealedOf({ epoch, reference }: ChangeSet, local: LocalChanges): Sealed {
  const pathOf = pathTexts();
  const changed = new Set(local.changes.map(({ object }) => object));
  const there = local.observed.flatMap(({ object, found, seen }) => {
    if (!changed.has(object)) return [];
    return [{ path: pathOf(found), type: found.stat.type, seen: seenAsText(seen), id: object.id ?? "" }];
  });
  const gone = local.changes.flatMap(({ object, action }) => {
    return action === "deleted" && object.id !== undefined ? [object.id] : [];
  });
  return { epoch, base: reference, there, gone };
}
