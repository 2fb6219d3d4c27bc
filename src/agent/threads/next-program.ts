/** Whether the program on disk can take over from this one: since this process began it may have become another version. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { SynclineError } from "../../base/errors.ts";
import { STATE_FORMATS } from "../../overlay/state-formats.ts";
import { NEXT_PROGRAM } from "../../runtime/next-program.ts";

const PATIENCE_MS = 60_000;

/** `command`: how this program was started, without its own arguments. Throws `precondition_failed` if the next one cannot. */
export async function requireNextProgram(command: readonly string[]): Promise<void> {
  const known = await formatsOf(command);
  const lacking = STATE_FORMATS.filter((format) => !known.has(format));
  if (lacking.length === 0) return;
  throw refused(`it does not know ${lacking.join(", ")} of the state's format.`);
}

async function formatsOf([program = "", ...args]: readonly string[]): Promise<ReadonlySet<unknown>> {
  try {
    const run = promisify(execFile);
    const { stdout } = await run(program, [...args, NEXT_PROGRAM], { timeout: PATIENCE_MS, killSignal: "SIGKILL" });
    return new Set(JSON.parse(stdout) as unknown[]);
  } catch (cause) {
    throw refused(whyNot(cause), cause);
  }
}

/** What the program printed. Older versions call the word an unknown command. */
function whyNot(cause: unknown): string {
  const { stderr = "", message } = cause as { readonly stderr?: string; readonly message: string };
  if (/unknown command/i.test(stderr)) return "it is an older version, which cannot say what it knows.";
  return /^(?:syncline|\w*Error): (.*)$/m.exec(stderr)?.[1] ?? message;
}

function refused(why: string, cause?: unknown): SynclineError {
  return new SynclineError("precondition_failed", `The program on disk could not take over: ${why}`, {
    hint: "The agent goes on. Install this version or a newer one. To go back to an older one, unmount first.",
    cause,
  });
}
