/** Finds the agents that a command talks to: of one mount, or of all mounts of this user. */
import { resolve } from "node:path";
import { hasCode, SynclineError } from "../base/errors.ts";
import { askAgent, isServed } from "../agent/control.ts";
import { canonicalMount, listMountStates, stateRoot, WEBDAV_PLACE } from "../agent/state-dir.ts";
import type { Runtime } from "./runtime.ts";
import { printText } from "./text.ts";

/** An agent answers at once unless it is stopped or its disk hangs. */
const DOOR_PATIENCE_MS = 10_000;

export interface MountState {
  readonly stateDir: string;
  readonly mount: string;
  readonly address: string;
  /** Mounted, or ended without everything published: by kill -9, or while the bucket was out of reach. */
  readonly open: boolean;
  /** Whether `stateDir` is this door's own, and not that of an agent of which it is a part. */
  readonly own: boolean;
}

/** The states of this mount point, or all states when `directory` is undefined; the one used last comes first. */
export function mountStates(runtime: Runtime, state: string | undefined, directory?: string): MountState[] {
  const states = listMountStates(stateRoot(runtime.env, state)).map(
    ({ path, facts: { mount, address, agent, open = false } }) => {
      return { stateDir: agent ?? path, mount, address, open, own: agent === undefined };
    },
  );
  if (directory === undefined) return states;
  const mount = directory.startsWith(WEBDAV_PLACE) ? directory : canonicalMount(resolve(directory));
  return states.filter((found) => found.mount === mount);
}

/** As `mountStates`; also by the address of a WebDAV door as `status` prints it ("http://127.0.0.1:8888/"), which its agent knows. */
export async function statesAt(
  runtime: Runtime,
  state: string | undefined,
  place: string | undefined,
): Promise<MountState[]> {
  const states = mountStates(runtime, state, place === undefined || /^https?:/i.test(place) ? undefined : place);
  // Of an agent with a folder beside its other doors there are two states.
  if (place === undefined) return states.filter((each) => each.own);
  if (!/^https?:/i.test(place)) return states;
  const url = URL.canParse(place) ? new URL(place).href : place;
  const served = await servedStates(states.filter((each) => each.own));
  const isThere = await Promise.all(served.map((each) => hasDoor(runtime, each, url)));
  return served.filter((_, index) => isThere[index]);
}

async function hasDoor({ clock }: Runtime, { stateDir }: MountState, url: string): Promise<boolean> {
  try {
    const { doors } = await askAgent<"status">(stateDir, { call: "status" }, { clock, ms: DOOR_PATIENCE_MS });
    return doors.some((door) => door.door === "webdav" && door.url === url);
  } catch (error) {
    if (hasCode(error, "no_agent") || hasCode(error, "time_out")) return false;
    throw error;
  }
}

/** Of several states, those that an agent serves. */
export async function servedStates(states: readonly MountState[]): Promise<MountState[]> {
  return (await splitByAgent(states)).served;
}

/** Those that an agent serves, and those that none serves although changes may wait in them. */
export async function splitByAgent(
  states: readonly MountState[],
): Promise<{ served: MountState[]; stopped: MountState[] }> {
  const answers = await Promise.all(states.map(({ stateDir }) => isServed(stateDir)));
  const served = states.filter((_, index) => answers[index]);
  return { served, stopped: states.filter(({ open }, index) => open && answers[index] === false) };
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
  const { served, stopped } = await splitByAgent(await statesAt(runtime, state, directory));
  const [only, another] = served;
  if (only === undefined) throw noAgent(directory, stopped[0]);
  if (another === undefined) return only;
  throw new SynclineError("usage", "There are several mounts: say which one.", {
    hint: "`syncline status` lists them.",
  });
}

/** `stopped` is a state of that mount in which changes may wait. */
export function noAgent(directory: string | undefined, stopped?: MountState): SynclineError {
  const where = directory === undefined ? "anywhere" : `at ${printText(directory)}`;
  if (stopped !== undefined) {
    const { mount, address } = stopped;
    const left = `Changes may wait in the state of ${printText(mount)}, whose agent ended before all was published.`;
    return new SynclineError("no_agent", `No agent of syncline serves a mount ${where}. ${left}`, {
      hint: `They go on once it runs again: ${againText(printText(address), printText(mount))} --background`,
    });
  }
  return new SynclineError("no_agent", `No agent of syncline serves a mount ${where}.`, {
    hint: "`syncline status` lists the mounts. One whose agent was killed goes on when it is mounted again.",
  });
}

function againText(address: string, place: string): string {
  if (!place.startsWith(WEBDAV_PLACE)) return `syncline mount ${address} ${place}`;
  return `syncline webdav ${address} --listen ${place.slice(WEBDAV_PLACE.length)}`;
}
