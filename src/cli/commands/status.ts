/** `syncline status`: which agents run, what they published, what waits, and why. Read-only. */
import { hasCode, SynclineError } from "../../base/errors.ts";
import { shellWord } from "../../base/names.ts";
import type { AgentStatus, CollectionReport } from "../../agent/reports.ts";
import { command } from "../command.ts";
import { type Costs, costsText, DEFAULT_PRICES, monthlyCosts, parsePrices, type Prices } from "../prices.ts";
import { allowCommand, heldText, placeOf } from "./held-deletions.ts";
import {
  ANSWER_MS,
  askServing,
  type KnownMount,
  noAgent,
  publishHint,
  splitByAgent,
  statesAt,
} from "./running-agents.ts";
import type { Look } from "../terminal/paint.ts";
import type { Runtime } from "../runtime.ts";
import { retentionText } from "./retention-text.ts";
import { printBytes, printCount, printDuration, printUnpublished, printText } from "../terminal/text.ts";

export const register = command({
  name: "status",
  arguments: [["[dir]", "a mount, a synced folder or a WebDAV address; default: all"]],
  summary: "show agents, and what is published or pending",
  options: ["s3Prices"],
  examples: ["syncline status", "syncline status ~/bucket --json"],
  exits: [6],
  async run({ args, options, output, runtime }) {
    const [directory] = args;
    const states = await statesAt(runtime, options.state, directory);
    const { served, stopped } = await splitByAgent(runtime, states);
    const resting = directory === undefined || served.length > 0 ? [] : states.filter(({ synced }) => synced);
    if (directory !== undefined && served.length === 0 && resting.length === 0) {
      throw noAgent(directory, stopped[0] ?? states[0]);
    }
    const answers = await Promise.all(served.map((state) => ask(runtime, state)));
    const prices = parsePrices(options.s3Prices ?? DEFAULT_PRICES);
    const agents = answers.flatMap((answer) =>
      answer === undefined || "silent" in answer ? [] : [{ ...answer, costs: costsOf(answer, prices) }],
    );
    const isSilent = (answer: (typeof answers)[number]) => answer !== undefined && "silent" in answer;
    if (directory !== undefined && agents.length + resting.length === 0 && !answers.some(isSilent))
      throw noAgent(directory, served[0]);
    const left = stopped.map(leftOf);
    const synced = resting.map(leftOf);
    const shown = [...agents.map(textOf), ...left.map(textOfStopped), ...synced.map(textOfResting)].join("\n\n");
    const value = {
      agents,
      ...(left.length === 0 ? {} : { stopped: left }),
      ...(synced.length === 0 ? {} : { synced }),
    };
    output.result(value, shown || "No mounts.", statusLook);
    const silent = answers.find((answer) => answer !== undefined && "silent" in answer);
    if (silent !== undefined && "silent" in silent) throw silent.silent;
    // Scripts wait until an agent serves it.
    const [folder] = resting;
    if (folder !== undefined) throw noAgent(directory, folder);
    return 0;
  },
});

/** Undefined: the agent ended in between. */
async function ask(
  { clock }: Runtime,
  state: KnownMount,
): Promise<AgentStatus | { silent: SynclineError } | undefined> {
  try {
    return await askServing<"status">(state, { call: "status" }, { clock, ms: ANSWER_MS });
  } catch (error) {
    if (hasCode(error, "no_agent")) return undefined;
    if (!hasCode(error, "time_out")) throw error;
    const { message, hint } = error;
    return { silent: new SynclineError("time_out", `${printText(state.mount)}: ${message}`, { hint, cause: error }) };
  }
}

/** Null where requests cost nothing. */
function costsOf({ requests, collection }: AgentStatus, prices: Prices): Costs | null {
  return requests === null ? null : monthlyCosts(prices, requests, collection?.last?.bytes ?? null);
}

function textOf(agent: AgentStatus & { readonly costs: Costs | null }): string {
  const { bucket, pid, pending, lastError, conflicts, root, cache, requests, collection } = agent;
  const lines = [
    `${agent.doors.map((door) => printText(placeOf(door))).join(", ")}  (process ${pid})`,
    `  bucket     ${printText(bucket)}`,
    `  state      ${stateText(agent)}, root ${root ?? "unknown"}`,
    `  pending    ${waiting(pending)}`,
    `  cache      ${printBytes(cache.bytes)} of ${printBytes(cache.limit)}`,
  ];
  lines.push(...lostLines(agent), ...pinLines(agent));
  if (requests !== null) {
    const { put, list, get, delete: deleted, refused } = requests;
    lines.push(
      `  requests   ${put} PUT, ${get} GET, ${list} LIST, ${deleted} DELETE to S3; ${printCount(refused, "condition")} not met`,
    );
  }
  const masters = agent.masters ?? [];
  // The other lines already say whether a single master answers.
  for (const { address, used, left, latencyMs } of masters.length > 1 ? masters : []) {
    const state = left === null ? (used ? "used" : "ready") : `left: ${printText(left)}`;
    lines.push(`  master     ${printText(address)}  ${state}${latencyMs === null ? "" : `, ${latencyMs} ms`}`);
  }
  if (agent.costs !== null) lines.push(`  costs      ${costsText(agent.costs)}`);
  const last = collection?.last ?? null;
  if (last !== null) lines.push(collectedText(last));
  if (last !== null) lines.push(`  retains    ${retentionText(last.retention)}`);
  for (const { object, what } of last?.passedOver ?? [])
    lines.push(`  garbage    skipped ${printText(object)}, which ${printText(what)}`);
  const { guard: held, sync } = agent;
  if (held !== null) {
    lines.push(`  deletions  ${heldText(held)}`);
    lines.push(`             ${allowCommand(agent.doors, held)}`);
  }
  const scansOnly = sync?.why ?? null;
  if (scansOnly !== null) lines.push(`  notices    none; the folder is scanned instead: ${printText(scansOnly)}`);
  for (const { path, why } of sync?.left.slice(0, LEFT_SHOWN) ?? [])
    lines.push(`  left       ${printText(path)}: ${why}`);
  const more = (sync?.leftPaths ?? 0) - LEFT_SHOWN;
  if (more > 0) lines.push(`  left       … and ${printCount(more, "more path")}`);
  const newest = conflicts.at(-1);
  if (newest !== undefined) lines.push(`  conflicts  ${conflicts.length}, newest: ${printText(newest.path)}`);
  if (lastError !== null) lines.push(`  problem    ${printText(lastError.message)} (${lastError.code})`);
  if (lastError !== null && lastError.hint !== null) lines.push(`             ${printText(lastError.hint)}`);
  const uncollected = collection?.error ?? null;
  if (uncollected !== null) lines.push(`  garbage    not collected: ${printText(uncollected.message)}`);
  return lines.join("\n");
}

function stateText({ paused, online }: AgentStatus): string {
  if (paused !== null) return `paused ${paused.until === null ? `since ${paused.since}` : `until ${paused.until}`}`;
  return online ? "online" : "offline";
}

/** Older agents do not report lost bytes. */
function lostLines({ lost = null }: AgentStatus): string[] {
  if (lost === null) return [];
  const { files, names } = lost;
  const more = files > names.length ? [names.length === 0 ? "removed since" : "more"] : [];
  const isOne = files === 1;
  return [
    `  problem    ${printCount(files, "file")} ${isOne ? "lacks" : "lack"} bytes that were written, and ${isOne ? "reads" : "read"} as zeros there: ` +
      names.map(printText).concat(more).join(", "),
    "             The state folder had lost them when this agent started. Write them again, or restore older versions.",
  ];
}

function pinLines({ pins }: AgentStatus): string[] {
  if (pins === null) return [];
  const { paths, files, bytes, keptBytes, complete, error } = pins;
  const state = complete ? "" : ", not complete";
  const lines = [
    `  pinned     ${printCount(files, "file")}, ${printBytes(bytes)}; ${printBytes(keptBytes)} are here${state}`,
  ];
  for (const { path, absent } of paths)
    lines.push(`             ${printText(path)}${absent ? " (not in the bucket now)" : ""}`);
  if (error !== null && error.code !== "paused") lines.push(`  problem    ${printText(error.message)}`);
  return lines;
}

function collectedText({ time, retained, objects, bytes }: NonNullable<CollectionReport["last"]>): string {
  if (objects === null || bytes === null) return `  thinned    ${time}: ${printCount(retained, "retained root")}`;
  return `  collected  ${time}: ${printCount(objects, "object")}, ${printBytes(bytes)}`;
}

function leftOf({ mount, address, path, left }: KnownMount) {
  return { mount, bucket: address, state: path, ...(left && { left }) };
}

/** A synced folder that no agent syncs now. */
function textOfResting({ mount, bucket }: { mount: string; bucket: string }): string {
  return [
    `${printText(mount)}  (synced folder, no process)`,
    `  bucket     ${printText(bucket)}`,
    "  pending    unknown: changes since the last sync are still in the folder",
    `             Sync it: syncline sync ${shellWord(bucket)} ${shellWord(mount)} --once`,
  ].join("\n");
}

function textOfStopped({ mount, bucket, state, left }: ReturnType<typeof leftOf>): string {
  const pending =
    left === undefined ? `unknown: changes may be waiting in ${printText(state)}` : printUnpublished(left, left.why);
  return [
    `${printText(mount)}  (no process)`,
    `  bucket     ${printText(bucket)}`,
    `  pending    ${pending}`,
    `             ${publishHint(mount)}`,
  ].join("\n");
}

/** Highlights where something is served, and what needs attention. */
const statusLook: Look = (line, paint) => {
  if (/^\S/.test(line)) return paint("bold", line);
  if (/^ {2}(problem|deletions|garbage {4}not)/.test(line)) return paint("red", line);
  if (/^ {2}(conflicts|left|state {6}paused)/.test(line)) return paint("yellow", line);
  return line.replace(/^( {2}state {6})offline/, (_, before: string) => before + paint("red", "offline"));
};

const LEFT_SHOWN = 10;

function waiting({ files, bytes, oldestMs, etaMs, isUncounted = false }: AgentStatus["pending"]): string {
  if (files === 0) return "everything is published";
  if (isUncounted && bytes === 0) return "changes that are not counted yet";
  const left = etaMs === null ? "" : `, about ${printDuration(etaMs)} left`;
  const least = isUncounted ? "at least " : "";
  return `${least}${printCount(files, "file")}, ${printBytes(bytes)}, oldest ${printDuration(oldestMs)}${left}`;
}
