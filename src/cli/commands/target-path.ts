/** The path that a command acts on: bucket/path, or a path below a mount or synced folder, resolved to its bucket. */
import { existsSync } from "node:fs";
import { join, sep } from "node:path";
import { canonicalFolder, canonicalMount, canonicalPath } from "../../agent/state/state-dir.ts";
import { SynclineError } from "../../base/errors.ts";
import { nameFromText } from "../../base/names.ts";
import { MOUNT_TYPE, type MountedAt } from "../../fuse/mount-table.ts";
import type { MasterAccess } from "../../net/access.ts";
import { MARKER_PATH, pathText } from "../../sync/disk/paths.ts";
import { type BucketPath, locateBucket } from "./bucket-path.ts";
import { askServing, bucketAddress, longPatience, mountStates, servedStates } from "./running-agents.ts";
import type { KnownMount } from "./running-agents.ts";
import type { Call } from "../command.ts";
import { type BucketOption, writingAccess } from "../master-access.ts";
import type { Runtime } from "../runtime.ts";
import { isIn, mounts } from "./synced-folder.ts";
import { printRest, printText } from "../terminal/text.ts";

export interface TargetPath extends BucketPath {
  /** The mount that contains it, if an agent serves that. */
  readonly served: KnownMount | undefined;
  /** The mount that contains the path, if it was mounted with `--read-only` or `--at`. */
  readonly unwritable?: string | undefined;
}

/** Throws as `locateBucket`, and `no_agent` for a path below no mount. */
export async function locateTarget(call: Call<BucketOption>, given: string, access: MasterAccess): Promise<TargetPath> {
  if (given.includes("://")) return { ...(await locateBucket(call, given, access)), served: undefined };
  return belowMount(call.runtime, call.options.state, given);
}

/** As `locateTarget`, for a command that changes the bucket. Throws `usage` for a path in a read-only mount. */
export async function locateToWrite(call: Call<BucketOption>, given: string): Promise<TargetPath> {
  const target = await locateTarget(call, given, writingAccess(call));
  if (target.unwritable === undefined) return target;
  throw new SynclineError("usage", `The mount at ${printText(target.unwritable)} is read-only.`, {
    hint: `To change the bucket, name it: ${printText(target.address)}`,
  });
}

/**
 * Publishes the mount's pending changes first: the command then acts on them, and they stay in history. If they cannot be
 * published, throws `unpublished_data` and changes nothing.
 */
export async function flushFirst({ served }: TargetPath, runtime: Pick<Runtime, "clock">): Promise<void> {
  if (served === undefined) return;
  const { published, pending, error } = await askServing<"flush">(served, { call: "flush" }, longPatience(runtime));
  // Writes during this may wait.
  if (published || pending.files === 0) return;
  throw new SynclineError("unpublished_data", `${printText(served.mount)}: ${printRest(pending, error)}`, {
    hint: "Nothing was changed. Publish them with `syncline flush`, then try again.",
  });
}

/** Makes the mount show what was published by the time the command ends. */
export async function showAtMount({ served }: TargetPath, runtime: Pick<Runtime, "clock">): Promise<void> {
  if (served !== undefined) await askServing<"flush">(served, { call: "flush" }, longPatience(runtime));
}

/** Throws `no_agent` for a path that is in no mount. */
export async function belowMount(runtime: Runtime, state: string | undefined, given: string): Promise<TargetPath> {
  const found = await findBelow(given, knownMounts(runtime, state));
  return found ?? nowhere(given, "Give bucket/path instead. `syncline status` lists the mounts.");
}

/** As `belowMount`, for any number of paths. Looks at each mount once. */
export async function belowMounts(
  runtime: Runtime,
  state: string | undefined,
  given: readonly string[],
): Promise<TargetPath[]> {
  const known = knownMounts(runtime, state);
  const find = async (path: string) =>
    (await findBelow(path, known)) ?? nowhere(path, "`syncline status` lists the mounts.");
  return Promise.all(given.map(find));
}

function nowhere(given: string, hint: string): never {
  throw new SynclineError("no_agent", `${printText(given)} is not in a mount or a synced folder.`, { hint });
}

interface KnownMounts {
  readonly states: readonly KnownMount[];
  isServed(state: KnownMount): Promise<boolean>;
}

function knownMounts(runtime: Runtime, state: string | undefined): KnownMounts {
  const answers = new Map<KnownMount, Promise<boolean>>();
  const isServed = (each: KnownMount) => {
    const answer = answers.get(each) ?? servedStates(runtime, [each]).then(({ length }) => length > 0);
    answers.set(each, answer);
    return answer;
  };
  return { states: mountStates(runtime, state), isServed };
}

async function findBelow(given: string, known: KnownMounts): Promise<TargetPath | undefined> {
  const found = await nearestAbove(given, known);
  if (found === undefined) return undefined;
  const { path, state: nearest, served } = found;
  const names = path
    .slice(nearest.mount.length)
    .split(sep)
    .filter((name) => name !== "")
    .map(nameFromText);
  const unwritable = nearest.readOnly ? nearest.mount : undefined;
  return { address: nearest.address, names, directory: false, served, unwritable };
}

interface Above {
  readonly state: KnownMount;
  readonly served: KnownMount | undefined;
  /** False: it may have been unmounted long ago. */
  readonly isThere: boolean;
  readonly path: string;
}

async function nearestAbove(given: string, known: KnownMounts): Promise<Above | undefined> {
  let found: Above | undefined;
  for (const [pathOf, isMeant] of WAYS) {
    const above = await stateAbove(pathOf(given), known.states.filter(isMeant), known);
    found ??= above;
    if (above?.isThere !== true) continue;
    found = above;
    break;
  }
  if (found !== undefined) await requireNoOther(found);
  return found;
}

/** Another bucket may be mounted there now, by an agent that this user does not know. Throws `no_agent`. */
async function requireNoOther({ path, state }: Above): Promise<void> {
  const inPlace = ({ mountPoint, type }: MountedAt) =>
    type === MOUNT_TYPE && isIn(path, mountPoint) && isIn(mountPoint, state.mount);
  const there = (await mounts()).findLast(inPlace);
  if (there === undefined || isMountOf(there, state)) return;
  throw new SynclineError("no_agent", `${printText(path)} is in a mount of ${printText(there.source)}.`, {
    hint: "Its agent is not known here: it may be another user's. Give bucket/path, or its folder of states (--state).",
  });
}

/** Of the states above the path, the nearest that is in use, or else the nearest. */
async function stateAbove(
  path: string,
  states: readonly KnownMount[],
  { isServed }: KnownMounts,
): Promise<Above | undefined> {
  const above = states.filter(({ mount }) => isIn(path, mount)).toSorted((a, b) => b.mount.length - a.mount.length);
  for (const place of new Set(above.map(({ mount }) => mount))) {
    const there = above.filter(({ mount }) => mount === place);
    const answers = await Promise.all(there.map(isServed));
    const served = there.find((_, index) => answers[index]);
    const state = served ?? (await stillThere(there));
    if (state !== undefined) return { state, served, isThere: true, path };
  }
  const [nearest] = above;
  return nearest && { state: nearest, served: undefined, isThere: false, path };
}

/**
 * The paths that may be meant, in the order in which they are tried. The last part may be a link in a bucket, or one to a
 * mount. A synced folder is known by its real path; a mount may hang, so a path in it is not resolved.
 */
const WAYS: readonly (readonly [(given: string) => string, (state: KnownMount) => boolean])[] = [
  [canonicalPath, () => true],
  [canonicalMount, () => true],
  [canonicalFolder, ({ synced }) => synced],
];

/** Of states at one place without an agent: a folder that has its marker, or a mount that is still in the mount table. */
async function stillThere(states: readonly KnownMount[]): Promise<KnownMount | undefined> {
  const folder = states.find(({ mount, synced }) => synced && existsSync(join(mount, pathText(MARKER_PATH))));
  if (folder !== undefined) return folder;
  const table = await mounts();
  return states.find((state) => {
    const there = table.findLast(({ mountPoint }) => mountPoint === state.mount);
    return !state.synced && there?.type === MOUNT_TYPE && isMountOf(there, state);
  });
}

/** Whether the mount may be this state's. A source that is not a bucket's address does not rule it out. */
function isMountOf({ source }: MountedAt, { address }: KnownMount): boolean {
  const mounted = bucketAddress(source);
  return mounted === undefined || mounted === bucketAddress(address);
}
