/** How a mount's supervisor starts this command again, and what the next agent takes over. */
import { join } from "node:path";
import { LOG_NAME } from "../../agent/state/log-file.ts";
import { HANDOFF, parseHandoff, type Supervision } from "../../fuse/supervisor.ts";
import { envName } from "../options.ts";
import type { Runtime } from "../runtime.ts";

/** Options that apply only to the first start. */
const ONCE = new Set(["--background", "--accept"]);

/** Whether this process takes over a mount, until `supervisionOf` is called. */
export function takesOver({ env }: Runtime): boolean {
  return parseHandoff(env[HANDOFF] ?? "") !== undefined;
}

/** Reads what a supervisor told this process in its environment, and removes it there. */
export function supervisionOf({ env, environmentKey }: Runtime, stateDir: string): Supervision {
  const told = env[HANDOFF] ?? "";
  for (const once of [HANDOFF, envName("background"), envName("accept")]) Reflect.deleteProperty(env, once);
  const own = process.argv.slice(1).filter((argument) => !ONCE.has(argument));
  return {
    log: join(stateDir, LOG_NAME),
    cwd: process.cwd(),
    command: [process.execPath, ...process.execArgv, ...own],
    env: environmentKey === undefined ? {} : { SYNCLINE_KEY: environmentKey },
    mayResend: env["SYNCLINE_FUSE_RESEND"] !== "off",
    isInherited: told !== "",
    handoff: parseHandoff(told),
  };
}
