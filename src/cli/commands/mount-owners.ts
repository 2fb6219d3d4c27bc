/** The option --owner of `mount`. */
import { SynclineError } from "../../base/errors.ts";
import { describeError } from "../../base/log.ts";
import { AS_STORED, type OwnerRule, parseOwnerMap } from "../../fuse/owners.ts";
import type { StartFiles } from "../start-files.ts";

/** `given`: stored, me, UID:GID or @FILE. Throws `config_invalid`. */
export function ownersOf(given: string, files: StartFiles): OwnerRule {
  if (given === "stored") return AS_STORED;
  if (given.startsWith("@")) return parseOwnerMap(textOf(given.slice(1), files));
  const own = [process.getuid?.() ?? 0, process.getgid?.() ?? 0];
  const [uid = 0, gid = 0] = given === "me" ? own : given.split(":").map(Number);
  return { kind: "all", uid, gid };
}

function textOf(path: string, files: StartFiles): string {
  const hint = "Name it as --owner @FILE.";
  let text: string | undefined;
  try {
    text = files.read(path);
  } catch (cause) {
    throw new SynclineError("config_invalid", `Cannot read the map of owners: ${describeError(cause)}`, {
      hint,
      cause,
    });
  }
  if (text !== undefined) return text;
  throw new SynclineError("config_invalid", `There is no map of owners at ${path}.`, { hint });
}
