/** Clears the way for doors while the bucket and the state are read: a dead mount of many files takes long to remove. */
import { prepareMountPoint } from "../../fuse/mount-point.ts";
import type { AgentOptions } from "../agent.ts";

/** Throws as `prepareMountPoint`. */
export async function prepareDoors({ doors, supervision, clock }: AgentOptions): Promise<void> {
  // The mount of the process before is in use.
  if (supervision?.handoff !== undefined) return;
  for (const setup of doors) if (setup.door === "mount") await prepareMountPoint(setup.mount, clock);
}
