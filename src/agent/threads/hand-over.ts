/** An agent's answers to callers. One of them ends its process, so that its supervisor starts the next agent. */
import type { Clock } from "../../base/clock.ts";
import type { Ports } from "../../base/ports.ts";
import type { Supervision } from "../../fuse/supervisor.ts";
import type { Agent } from "../agent.ts";
import { type ControlAnswers, notReplaceable } from "../control.ts";
import type { Serving } from "../pins/free-space.ts";
import type { Pins } from "../pins/pins.ts";
import type { Pause } from "../state/pause.ts";
import type { FilesystemThread } from "./filesystem-thread.ts";
import { requireNextProgram } from "./next-program.ts";

interface Tools extends Pick<Ports, "clock" | "log"> {
  readonly drainMs: number;
  readonly pause: Pause;
  readonly pins: Pins | undefined;
  readonly supervision?: Supervision | undefined;
}

/** Time for the answer to leave before the process ends. */
const ANSWER_MS = 50;

export function answersOf(agent: Agent, thread: FilesystemThread, tools: Tools): ControlAnswers {
  const { pause, pins } = tools;
  const serving: Serving = {
    unpublished: (paths) => thread.call("unpublished", paths),
    forget: (released) => thread.call("forget", released),
  };
  return {
    status: () => agent.status(),
    flush: () => agent.flush(),
    handOver: () => handOver(thread, tools),
    pause: async (forMs) => pause.begin(forMs),
    resume: async () => ({ wasPaused: pause.end() }),
    ...(pins !== undefined && {
      pin: (paths) => pins.add(paths),
      unpin: async (paths) => pins.remove(paths),
      free: (paths) => pins.free(paths, serving),
    }),
    unmount: (drainMs = tools.drainMs) => agent.unmount(drainMs, false),
  };
}

/**
 * Hands over to the next agent, for an upgrade; programs in the mount wait. Throws `not_supported` if none would start,
 * `precondition_failed` if it could not serve.
 */
async function handOver(thread: FilesystemThread, { supervision, clock, log }: Tools): Promise<object> {
  if (!(await thread.call("isReplaceable", undefined))) throw notReplaceable();
  await requireNextProgram(supervision?.program ?? []);
  log.info("Handing over to the next agent.");
  endProcess(clock, ANSWER_MS);
  return { pid: process.pid };
}

/**
 * Ends this process within `ms`, whatever it waits for. The next agent starts after that. A kill is safe: the journal holds
 * what was answered, and the other requests are sent again.
 */
export function endProcess(clock: Clock, ms: number): void {
  clock.after(ms, () => process.kill(process.pid, "SIGKILL"));
}
