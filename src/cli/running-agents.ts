/** Finds the agents that a command talks to: of one mount, or of all mounts of this user. */
import { resolve } from "node:path";
import { SynclineError } from "../base/errors.ts";
import { canonicalMount, listMountStates, stateRoot } from "../agent/state-dir.ts";
import type { Runtime } from "./runtime.ts";

export interface MountState {
  readonly stateDir: string;
  readonly mount: string;
  readonly address: string;
}

/** The states of this mount point, or all states when `directory` is undefined. */
export function mountStates(runtime: Runtime, state: string | undefined, directory: string | undefined): MountState[] {
  const states = listMountStates(stateRoot(runtime.env, state)).map(({ path, facts: { mount, address } }) => {
    return { stateDir: path, mount, address };
  });
  if (directory === undefined) return states;
  const mount = canonicalMount(resolve(directory));
  return states.filter((found) => found.mount === mount);
}

/** As mountStates, for a command that needs one. Throws `no_agent`. */
export function requireMount(runtime: Runtime, state: string | undefined, directory: string | undefined): MountState[] {
  const found = mountStates(runtime, state, directory);
  if (found.length > 0) return found;
  const where = directory === undefined ? "anywhere" : `at ${directory}`;
  throw new SynclineError("no_agent", `Nothing of syncline is mounted ${where}.`, {
    hint: "`syncline status` lists the mounts; `syncline mount URL DIR` makes one.",
  });
}
