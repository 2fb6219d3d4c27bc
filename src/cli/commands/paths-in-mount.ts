/** The paths given to a command, all in one served mount. */
import type { PinPath } from "../../agent/pins/pin-list.ts";
import { SynclineError } from "../../base/errors.ts";
import type { Call } from "../command.ts";
import { belowMounts, type TargetPath } from "./target-path.ts";
import { type KnownMount, noAgent } from "./running-agents.ts";

export interface PathsInMount {
  /** The first of them. */
  readonly target: TargetPath;
  readonly served: KnownMount;
  readonly paths: readonly PinPath[];
}

/** Throws `no_agent`, and `usage` for paths in several mounts. */
export async function pathsInMount({ args, options, runtime }: Call): Promise<PathsInMount> {
  const targets = await belowMounts(runtime, options.state, args);
  const [target] = targets;
  if (target?.served === undefined) throw noAgent(args[0]);
  const { served } = target;
  if (targets.some((each) => each.served?.stateDir !== served.stateDir))
    throw new SynclineError("usage", "These paths are in several mounts. Name paths of one mount at a time.");
  return { target, served, paths: targets.map(({ names }) => names) };
}
