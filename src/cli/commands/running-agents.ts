/** Finds the agents for a command: of one mount, or of all mounts of this user. */
import { hasCode, SynclineError } from "../../base/errors.ts";
import { askAgent, type ControlAnswers, type ControlRequest, isServed, type Patience } from "../../agent/control.ts";
import type { DoorReport } from "../../agent/doors/doors.ts";
import {
  canonicalFolder,
  canonicalMount,
  canonicalPath,
  type Left,
  listMountStates,
  otherStateRoots,
  stateRoot,
  WEBDAV_PLACE,
} from "../../agent/state/state-dir.ts";
import { orElse, unless } from "../../base/unless.ts";
import { shellWord } from "../../base/names.ts";
import { parseAddress, pinnedUrl } from "../../bucket/address.ts";
import { MOUNT_TYPE } from "../../fuse/mount-table.ts";
import type { Runtime } from "../runtime.ts";
import { nextAgentServes } from "./next-agent.ts";
import { mounts } from "./synced-folder.ts";
import { printText } from "../terminal/text.ts";

/** An agent answers at once unless it is stopped or its disk hangs. */
export const ANSWER_MS = 10_000;

/** For calls that wait for the bucket. An agent may wait for a slow disk, too, so this is generous. */
export function longPatience({ clock }: Pick<Runtime, "clock">): Patience {
  return { clock, ms: 60_000, isLong: true };
}

/** As `askAgent`. If the agent ends before it answers, and another one replaces it, asks that one. */
export async function askServing<Call extends ControlRequest["call"]>(
  state: KnownMount,
  request: Extract<ControlRequest, { call: Call }>,
  patience: Patience,
): Promise<Awaited<ReturnType<Required<ControlAnswers>[Call]>>> {
  try {
    return await askAgent<Call>(state.stateDir, request, patience);
  } catch (error) {
    if (!hasCode(error, "no_agent") || !state.open || !(await nextAgentServes(state, patience.clock))) throw error;
    return askAgent<Call>(state.stateDir, request, patience);
  }
}

export interface KnownMount {
  /** Its own state. */
  readonly path: string;
  /** The state of its agent, which answers for it: another one if a folder is synced beside a mount. */
  readonly stateDir: string;
  readonly mount: string;
  readonly address: string;
  /** Mounted, or ended before everything was published: by kill -9, or while the bucket was out of reach. */
  readonly open: boolean;
  /** Whether `path` and `stateDir` are the same. */
  readonly own: boolean;
  /** Whether `mount` is a synced folder. */
  readonly synced: boolean;
  /** Nothing may change it: it was mounted with `--read-only` or `--at`. */
  readonly readOnly: boolean;
  /** What its last agent left, if it ended in order. */
  readonly left?: Left | undefined;
}

/**
 * The states of this mount point, or all states if `directory` is undefined; the most recently used comes first. Without
 * `state`, includes folders that --state named when states were made there.
 */
export function mountStates(
  { env }: Pick<Runtime, "env">,
  state: string | undefined,
  directory?: string,
): KnownMount[] {
  const roots = state === undefined ? [stateRoot(env), ...otherStateRoots(env)] : [stateRoot(env, state)];
  const states = roots
    .flatMap(listMountStates)
    .map(({ path, facts: { mount, address, agent, door, old = false, readOnly = false, open = false, left } }) => {
      const [own, synced] = [agent === undefined, door === "sync"];
      return { path, stateDir: agent ?? path, mount, address, open, own, synced, readOnly: readOnly || old, left };
    });
  if (directory === undefined) return states;
  const names = directory.startsWith(WEBDAV_PLACE)
    ? [directory]
    : [canonicalMount(directory), canonicalPath(directory)];
  const there = states.filter((found) => names.includes(found.mount));
  // A synced folder is known by its real path. A mount may hang, so its path is not resolved.
  return there.length > 0
    ? there
    : states.filter((found) => found.synced && found.mount === canonicalFolder(directory));
}

/**
 * As `mountStates`, but also takes printed addresses: a bucket's ("https://master.example:3600/notes"), or a WebDAV door's
 * ("http://127.0.0.1:8888/", with or without the scheme), which its agent knows. Throws `time_out` if an agent that may have
 * the door does not answer.
 */
export async function statesAt(
  runtime: Runtime,
  state: string | undefined,
  place: string | undefined,
): Promise<KnownMount[]> {
  const given = place !== undefined && /^[^/]+:\d+\/?$/.test(place) ? `http://${place}` : place;
  const isAddress = given !== undefined && /^(https?|file|s3):\/\//i.test(given);
  const states = mountStates(runtime, state, isAddress ? undefined : given);
  // An agent with a folder beside its other doors has two states.
  if (given === undefined) return states.filter((each) => each.own);
  if (!isAddress) return states.length > 0 ? states : statesOfMoved(mountStates(runtime, state), given);
  const bucket = bucketAddress(given);
  const ofBucket =
    bucket === undefined ? [] : states.filter((each) => each.own && bucketAddress(each.address) === bucket);
  if (ofBucket.length > 0) return ofBucket;
  const url = URL.canParse(given) ? new URL(given).href : given;
  const served = await servedStates(
    runtime,
    states.filter((each) => each.own),
  );
  const isWanted = (door: DoorReport) => door.door === "webdav" && door.url === url;
  const answers = await Promise.allSettled(served.map((each) => hasDoor(runtime, each, isWanted)));
  const there = served.filter((_, index) => answers[index]?.status === "fulfilled" && answers[index].value);
  // The door may be that of an agent which does not answer.
  for (const answer of answers) if (there.length === 0 && answer.status === "rejected") throw answer.reason;
  return there.length > 0 ? there : states.filter(({ own, open, mount }) => own && open && mount === placeAt(url));
}

/** The place of an agent that serves only WebDAV at this URL. */
function placeAt(url: string): string | undefined {
  return URL.canParse(url) ? WEBDAV_PLACE + new URL(url).host : undefined;
}

/** States name the place where they were mounted. If the mount was moved (mount --move), its bucket tells which is meant. */
async function statesOfMoved(states: readonly KnownMount[], place: string): Promise<KnownMount[]> {
  const table = (await mounts()).filter(({ type }) => type === MOUNT_TYPE);
  const there = table.findLast(({ mountPoint }) => mountPoint === canonicalMount(place));
  const bucket = there && bucketAddress(there.source);
  if (bucket === undefined) return [];
  const isLeft = (mount: string) => table.every(({ mountPoint }) => mountPoint !== mount);
  return states.filter(
    ({ address, mount, open, own, synced }) =>
      own && open && !synced && bucketAddress(address) === bucket && isLeft(mount),
  );
}

/** A bucket's canonical address without its pin; undefined for other text. */
export function bucketAddress(text: string): string | undefined {
  return orElse(undefined, () => pinnedUrl(parseAddress(text)).split("#", 1)[0]);
}

/** Throws `time_out` if the agent does not answer. */
async function hasDoor(
  { clock }: Runtime,
  state: KnownMount,
  isWanted: (door: DoorReport) => boolean,
): Promise<boolean> {
  const ask = () => askServing<"status">(state, { call: "status" }, { clock, ms: ANSWER_MS });
  return (await unless("no_agent", ask))?.doors.some(isWanted) ?? false;
}

export async function servedStates(runtime: Runtime, states: readonly KnownMount[]): Promise<KnownMount[]> {
  return (await splitByAgent(runtime, states)).served;
}

/** The states that an agent serves, and unserved ones in which changes may wait. */
export async function splitByAgent(
  runtime: Runtime,
  states: readonly KnownMount[],
): Promise<{ served: KnownMount[]; stopped: KnownMount[] }> {
  const answers = await Promise.all(states.map((state) => hasAgent(runtime, state)));
  const served = states.filter((_, index) => answers[index]);
  return { served, stopped: states.filter(({ open }, index) => open && answers[index] === false) };
}

/** A folder's former agent may be running again without the folder. Waits for an agent that is replacing another one. */
async function hasAgent(runtime: Runtime, state: KnownMount): Promise<boolean> {
  const { stateDir, own, mount, open } = state;
  if (!(await isServed(stateDir)) && !(open && (await nextAgentServes(state, runtime.clock)))) return false;
  if (own) return true;
  const hasFolder = () => hasDoor(runtime, state, (door) => door.door === "sync" && door.folder === mount);
  return unless("time_out", hasFolder, true);
}

/**
 * The mount that a command means: the one at `directory`, or the only one. A directory may have had several buckets mounted
 * over time. Throws `no_agent`, and `usage` if the choice is ambiguous.
 */
export async function requireAgent(
  runtime: Runtime,
  state: string | undefined,
  directory: string | undefined,
): Promise<KnownMount> {
  const states = await statesAt(runtime, state, directory);
  const { served, stopped } = await splitByAgent(runtime, states);
  const [only, another] = served;
  if (only === undefined) throw noAgent(directory, stopped[0] ?? states[0]);
  if (another === undefined) return only;
  throw new SynclineError("usage", "There are several mounts: name one.", { hint: "`syncline status` lists them." });
}

/** `state`: one at that place. Changes may wait in it, or in its synced folder. */
export function noAgent(directory: string | undefined, state?: KnownMount): SynclineError {
  const where = directory === undefined ? "anywhere" : `at ${printText(directory)}`;
  if (directory !== undefined && state?.synced === true) {
    const { address, mount } = state;
    const now = `No syncline agent syncs ${printText(mount)} now.`;
    return new SynclineError("no_agent", `${now} It was synced with ${printText(address)}.`, {
      hint: `Changes since then stay in the folder until it is synced again: syncline sync ${shellWord(address)} ${shellWord(mount)}`,
    });
  }
  if (state?.open === true) {
    const { mount, address } = state;
    const left = `The agent of ${printText(mount)} ended before everything was published. Its state may hold changes.`;
    return new SynclineError("no_agent", `No syncline agent serves a mount ${where}. ${left}`, {
      hint: `To publish them, run: ${againText(shellWord(address), mount)} --background`,
    });
  }
  return new SynclineError("no_agent", `No syncline agent serves a mount ${where}.`, {
    hint: "`syncline status` lists the mounts. If an agent was killed, mount again to continue.",
  });
}

/** How to publish the changes that an agent left in its state. */
export function publishHint(place: string): string {
  const again = place.startsWith(WEBDAV_PLACE)
    ? "Serve the bucket at the same address"
    : "Mount the bucket at the same directory";
  return `${again} again to publish them.`;
}

function againText(address: string, place: string): string {
  if (!place.startsWith(WEBDAV_PLACE)) return `syncline mount ${address} ${shellWord(place)}`;
  return `syncline webdav ${address} --listen ${place.slice(WEBDAV_PLACE.length)}`;
}
