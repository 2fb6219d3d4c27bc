/** Which mount a state serves: an agent that takes over a mount must have the state of the agent before it. */
import { join } from "node:path";
import { describeError, type Log } from "../../base/log.ts";
import type { Supervision } from "../../fuse/supervisor.ts";
import { writeStateFile } from "./state-file.ts";

/** The file in a state that holds the random text of its newest mount. */
export const CONNECTION = "connection";

/** Called just before mounting. If the state cannot be written, later agents check only that it was used before. */
export function noteConnection(stateDir: string, supervision: Supervision, log: Log): Supervision {
  const { place } = supervision;
  try {
    writeStateFile(join(stateDir, CONNECTION), Buffer.from(place.connection));
    return supervision;
  } catch (error) {
    log.warn(`Could not note in the state which mount it serves: ${describeError(error)}`);
    return { ...supervision, place: { ...place, connection: "" } };
  }
}
