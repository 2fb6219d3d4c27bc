/** A path that a command is about, given as bucket/path or below a mount or a synced folder: then by way of what is published of it. */
import { resolve, sep } from "node:path";
import { askAgent } from "../../agent/control.ts";
import { canonicalFolder, canonicalMount } from "../../agent/state/state-dir.ts";
import { SynclineError } from "../../base/errors.ts";
import { nameFromText } from "../../base/names.ts";
import { locateBucket } from "./bucket-path.ts";
import type { BucketPath } from "./bucket-path.ts";
import { mountStates, servedStates } from "./running-agents.ts";
import type { MountState } from "./running-agents.ts";
import type { Runtime } from "../runtime.ts";
import { printRest, printText } from "../terminal/text.ts";

export interface TargetPath extends BucketPath {
  /** The mount that it lies in, when an agent serves it. */
  readonly served: MountState | undefined;
}

/** Throws as `locateBucket`, and `no_agent` for a path that is below no mount. */
export async function locateTarget(runtime: Runtime, state: string | undefined, given: string): Promise<TargetPath> {
  if (given.includes("://")) return { ...(await locateBucket(runtime, given)), served: undefined };
  return belowMount(runtime, state, given);
}

/**
 * What is written at the mount goes into history first: it is what the command changes, and it stays there to be restored. Throws
 * `unpublished_data` when it cannot be published, and nothing is changed.
 */
export async function flushFirst({ served }: TargetPath): Promise<void> {
  if (served === undefined) return;
  const { published, pending, error } = await askAgent<"flush">(served.stateDir, { call: "flush" });
  // What is written while this goes on may wait.
  if (published || pending.files === 0) return;
  throw new SynclineError("unpublished_data", `${printText(served.mount)}: ${printRest(pending, error)}`, {
    hint: "Try again once they are: `syncline flush` tries to publish them. Nothing was changed.",
  });
}

/** So that the mount shows what was published when the command has ended. */
export async function showAtMount({ served }: TargetPath): Promise<void> {
  if (served !== undefined) await askAgent<"flush">(served.stateDir, { call: "flush" });
}

async function belowMount(runtime: Runtime, state: string | undefined, given: string): Promise<TargetPath> {
  const states = mountStates(runtime, state);
  const path = pathAsStatesSay(given, states);
  const above = states.filter(({ mount }) => isBelow(path, mount)).toSorted((a, b) => b.mount.length - a.mount.length);
  const nearest = above.filter(({ mount }) => mount === above[0]?.mount);
  const [served] = await servedStates(runtime, nearest);
  const found = served ?? nearest[0];
  if (found === undefined) {
    throw new SynclineError("no_agent", `${printText(given)} is not below a mount or a synced folder.`, {
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

/** A synced folder goes by its real path; a mount, which may hang, is not looked at. */
function pathAsStatesSay(given: string, states: readonly MountState[]): string {
  const path = canonicalMount(resolve(given));
  if (states.some(({ mount }) => isBelow(path, mount))) return path;
  const real = canonicalFolder(given);
  return states.some(({ mount, synced }) => synced && isBelow(real, mount)) ? real : path;
}

function isBelow(path: string, mount: string): boolean {
  return path === mount || path.startsWith(mount.endsWith(sep) ? mount : mount + sep);
}
