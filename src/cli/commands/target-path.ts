/** The path that a command acts on: bucket/path, or a path below a mount or synced folder, resolved to its bucket. */
import { resolve, sep } from "node:path";
import { askAgent } from "../../agent/control.ts";
import { canonicalFolder, canonicalMount } from "../../agent/state/state-dir.ts";
import { SynclineError } from "../../base/errors.ts";
import { nameFromText } from "../../base/names.ts";
import { locateBucket } from "./bucket-path.ts";
import type { BucketPath } from "./bucket-path.ts";
import { mountStates, servedStates } from "./running-agents.ts";
import type { MountState } from "./running-agents.ts";
import type { Call } from "../command.ts";
import type { MasterOption } from "../master-access.ts";
import type { Runtime } from "../runtime.ts";
import { printRest, printText } from "../terminal/text.ts";

export interface TargetPath extends BucketPath {
  /** The mount that contains it, if an agent serves that. */
  readonly served: MountState | undefined;
}

/** Throws as `locateBucket`, and `no_agent` for a path below no mount. */
export async function locateTarget(call: Call<MasterOption>, given: string): Promise<TargetPath> {
  if (given.includes("://")) return { ...(await locateBucket(call, given)), served: undefined };
  return belowMount(call.runtime, call.options.state, given);
}

/**
 * Publishes the mount's pending changes first: the command then acts on them, and they stay in history. If they cannot be
 * published, throws `unpublished_data` and changes nothing.
 */
export async function flushFirst({ served }: TargetPath): Promise<void> {
  if (served === undefined) return;
  const { published, pending, error } = await askAgent<"flush">(served.stateDir, { call: "flush" });
  // Writes during this may wait.
  if (published || pending.files === 0) return;
  throw new SynclineError("unpublished_data", `${printText(served.mount)}: ${printRest(pending, error)}`, {
    hint: "Nothing was changed. Publish them with `syncline flush`, then try again.",
  });
}

/** Makes the mount show what was published by the time the command ends. */
export async function showAtMount({ served }: TargetPath): Promise<void> {
  if (served !== undefined) await askAgent<"flush">(served.stateDir, { call: "flush" });
}

/** Throws `no_agent` for a path that is in no mount. */
export async function belowMount(runtime: Runtime, state: string | undefined, given: string): Promise<TargetPath> {
  const states = mountStates(runtime, state);
  const path = pathAsStatesSay(given, states);
  const above = states.filter(({ mount }) => isBelow(path, mount)).toSorted((a, b) => b.mount.length - a.mount.length);
  const nearest = above.filter(({ mount }) => mount === above[0]?.mount);
  const [served] = await servedStates(runtime, nearest);
  const found = served ?? nearest[0];
  if (found === undefined) {
    throw new SynclineError("no_agent", `${printText(given)} is not in a mount or a synced folder.`, {
      hint: "Give bucket/path instead. `syncline status` lists the mounts.",
    });
  }
  const names = path
    .slice(found.mount.length)
    .split(sep)
    .filter((name) => name !== "")
    .map(nameFromText);
  return { address: found.address, names, directory: false, served };
}

/** A synced folder is known by its real path. A mount may hang, so its path is not resolved. */
function pathAsStatesSay(given: string, states: readonly MountState[]): string {
  const path = canonicalMount(resolve(given));
  if (states.some(({ mount }) => isBelow(path, mount))) return path;
  const real = canonicalFolder(given);
  return states.some(({ mount, synced }) => synced && isBelow(real, mount)) ? real : path;
}

function isBelow(path: string, mount: string): boolean {
  return path === mount || path.startsWith(mount.endsWith(sep) ? mount : mount + sep);
}
