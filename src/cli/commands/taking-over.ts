/** How a mount's supervisor starts this command again, and what the next agent takes over. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { CONNECTION } from "../../agent/state/connection.ts";
import { LAST_BASE } from "../../agent/state/last-base.ts";
import { LOG_NAME, openLogFile } from "../../agent/state/log-file.ts";
import { readStateFile } from "../../agent/state/state-file.ts";
import { SynclineError } from "../../base/errors.ts";
import { describeError } from "../../base/log.ts";
import { parseHandoff, parseMountPlace, PLACE, type MountPlace, type Supervision } from "../../fuse/supervisor.ts";
import { HANDOFF } from "../../runtime/handoff.ts";
import type { Call } from "../command.ts";
import { envName } from "../options.ts";
import type { Runtime } from "../runtime.ts";
import { keptStartFiles } from "../start-files.ts";

/** Options that apply only to the first start. */
const ONCE = new Set(["--background", "--accept"]);
const CONNECTION_BYTES = 16;

/** Whether this process takes over a mount, until `supervisionOf` is called. */
export function takesOver({ env }: Runtime): boolean {
  return parseHandoff(env[HANDOFF] ?? "") !== undefined;
}

/** The place of the mount that this process takes over. Undefined: it takes over none, or was not told the place. */
export function placeTaken(runtime: Runtime): MountPlace | undefined {
  return takesOver(runtime) ? parseMountPlace(runtime.env[PLACE] ?? "") : undefined;
}

/**
 * An agent that takes over must not fail because a file was edited or moved since the mount began. If it cannot start with
 * the files as they are now, it starts with what the agent before it read. Undefined if this process takes over no mount.
 */
export function withKeptFiles(runtime: Runtime, error: unknown): Runtime | undefined {
  const { state } = placeTaken(runtime) ?? {};
  if (state === undefined) return undefined;
  openLogFile(state, runtime.clock).warn(
    `Not started with the configuration as it is now, but as the last agent read it: ${describeError(error)}`,
  );
  return { ...runtime, files: keptStartFiles(state) };
}

/** The call, with --state and --sync replaced by the folders that they named when the mount began. */
export function inPlace<Given extends Call<"sync">>(call: Given): Given {
  const place = placeTaken(call.runtime);
  if (place === undefined) return call;
  const { stateRoot: state, sync } = place;
  const options = { ...call.options, state };
  return { ...call, options: options.sync === undefined ? options : { ...options, sync } };
}

/**
 * Programs' open files are inode numbers of one state: of another state, they would be other files. Throws
 * `precondition_failed` if this process takes over a mount, and this is not the state of its agents.
 */
export function refuseOtherState(runtime: Runtime, stateDir: string): void {
  if (!takesOver(runtime)) return;
  const connection = placeTaken(runtime)?.connection ?? "";
  const isSame =
    connection === ""
      ? existsSync(join(stateDir, LAST_BASE))
      : readStateFile(join(stateDir, CONNECTION))?.toString() === connection;
  if (isSame) return;
  throw new SynclineError("precondition_failed", `${stateDir} is not the state of the mount to take over.`, {
    hint: "If the state's folder was moved, put it back. Then mount again.",
  });
}

/** Reads what a supervisor told this process in its environment, and removes it there. */
export function supervisionOf(
  runtime: Runtime,
  stateDir: string,
  begun: Omit<MountPlace, "state" | "connection">,
): Supervision {
  const { env, environmentKey, random } = runtime;
  const told = env[HANDOFF] ?? "";
  const connection = takesOver(runtime)
    ? (placeTaken(runtime)?.connection ?? "")
    : Buffer.from(random.bytes(CONNECTION_BYTES)).toString("hex");
  for (const once of [HANDOFF, PLACE, envName("background"), envName("accept")]) Reflect.deleteProperty(env, once);
  const [script = "", ...words] = process.argv.slice(1);
  const program = [process.execPath, ...process.execArgv, script];
  return {
    log: join(stateDir, LOG_NAME),
    // Only an agent that starts its own supervisor uses this. For later agents, the directory may be gone.
    cwd: told === "" ? process.cwd() : "/",
    command: [...program, ...words.filter((word) => !ONCE.has(word))],
    program,
    env: environmentKey === undefined ? {} : { SYNCLINE_KEY: environmentKey },
    mayResend: env["SYNCLINE_FUSE_RESEND"] !== "off",
    place: { ...begun, state: stateDir, connection },
    isInherited: told !== "",
    handoff: parseHandoff(told),
  };
}
