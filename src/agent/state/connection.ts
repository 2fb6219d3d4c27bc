/** Which mount a state serves: an agent that takes over a mount must have the state of the agent before it. */
import { join } from "node:path";
import { describeError, type Log } from "../../base/log.ts";
import type { Supervision } from "../../fuse/supervisor.ts";
import { writeStateFile } from "./state-file.ts";

/** The file in a state that holds the random text of its newest mount. */
export const CONNECTION = "connection";

/** Called just before mounting. If the state cannot be written, the next agents are not told what to look for. */
export function noteConnection(stateDir: string, supervision: Supervision, log: Log): Supervision {
  const { place } = supervision;
  try {
    writeStateFile(join(stateDir, CONNECTION), Buffer.from(place.connection));
    return supervision;
  } catch (error) {
    log.warn(`The state does not say which mount it serves: ${describeError(error)}`);
    return { ...supervision, place: { ...place, connection: "" } };
  }
}
