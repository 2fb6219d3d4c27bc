/** Finds the agents that a command talks to: of one mount, or of all mounts of this user. */
import { resolve } from "node:path";
import { SynclineError } from "../base/errors.ts";
import { isServed } from "../agent/control.ts";
import { canonicalMount, listMountStates, stateRoot } from "../agent/state-dir.ts";
import type { Runtime } from "./runtime.ts";
import { printText } from "./text.ts";

export interface MountState {
  readonly stateDir: string;
  readonly mount: string;
  readonly address: string;
}

/** The states of this mount point, or all states when `directory` is undefined; the one used last comes first. */
export function mountStates(runtime: Runtime, state: string | undefined, directory?: string): MountState[] {
  const states = listMountStates(stateRoot(runtime.env, state)).map(({ path, facts: { mount, address } }) => {
    return { stateDir: path, mount, address };
  });
  if (directory === undefined) return states;
  const mount = canonicalMount(resolve(directory));
  return states.filter((found) => found.mount === mount);
}

/** Of several states, those that an agent serves. */
export async function servedStates(states: readonly MountState[]): Promise<MountState[]> {
  const served = await Promise.all(states.map(({ stateDir }) => isServed(stateDir)));
  return states.filter((_, index) => served[index]);
}

/**
 * The mount that a command is about: the one at `directory`, or the only one. A directory may have had several buckets mounted,
 * one after the other. Throws `no_agent`, and `usage` when it is not clear which.
 */
export async function requireAgent(
  runtime: Runtime,
  state: string | undefined,
  directory: string | undefined,
): Promise<MountState> {
  const [only, another] = await servedStates(mountStates(runtime, state, directory));
  if (only === undefined) throw noAgent(directory);
  if (another === undefined) return only;
  throw new SynclineError("usage", "There are several mounts: say which one.", {
    hint: "`syncline status` lists them.",
  });
}

export function noAgent(directory: string | undefined): SynclineError {
  const where = directory === undefined ? "anywhere" : `at ${printText(directory)}`;
  return new SynclineError("no_agent", `No agent of syncline serves a mount ${where}.`, {
    hint: "`syncline status` lists the mounts. One whose agent was killed goes on when it is mounted again.",
  });
}
