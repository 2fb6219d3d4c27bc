/** The option --owner of `mount`. */
import { readFileSync } from "node:fs";
import { SynclineError } from "../../base/errors.ts";
import { describeError } from "../../base/log.ts";
import { AS_STORED, type OwnerRule, parseOwnerMap } from "../../fuse/owners.ts";

/** `given`: stored, me, UID:GID or @FILE. Throws `config_invalid`. */
export function ownersOf(given: string): OwnerRule {
  if (given === "stored") return AS_STORED;
  if (given.startsWith("@")) return parseOwnerMap(textOf(given.slice(1)));
  const own = [process.getuid?.() ?? 0, process.getgid?.() ?? 0];
  const [uid = 0, gid = 0] = given === "me" ? own : given.split(":").map(Number);
  return { kind: "all", uid, gid };
}

function textOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    throw new SynclineError("config_invalid", `Cannot read the map of owners: ${describeError(cause)}`, {
      hint: "Name it as --owner @FILE.",
      cause,
    });
  }
}
