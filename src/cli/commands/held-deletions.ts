/** Texts about a synced folder's deletions that await approval. */
import type { DoorReport } from "../../agent/doors/doors.ts";
import { shellWord } from "../../base/names.ts";
import type { AgentStatus, UnmountReport } from "../../agent/reports.ts";
import { printCount, printUnpublished, printText } from "../terminal/text.ts";

type Held = NonNullable<AgentStatus["guard"]>;

/** "3 files would be deleted from the bucket; approval is needed" */
export function heldText({ files, where }: Held): string {
  return `${printCount(files, "file")} would be deleted from the ${where}; approval is needed`;
}

/** The command that approves them. Names one of the agent's doors: the folder, if it has one. */
export function allowCommand(doors: readonly DoorReport[], { digest }: Held): string {
  const door = doors.find((each) => each.door === "sync") ?? doors[0];
  const place = door === undefined ? "" : `${shellWord(placeOf(door))} `;
  return `syncline flush ${place}--allow-deletes ${digest}`;
}

/** What an agent left when it ended, and why. A folder's changes are all in the folder; `kept` says where the rest is. */
export function leftText({ pending, error, guard: held, folder }: UnmountReport, kept: string): string {
  const own = { files: pending.files - (folder?.files ?? 0), bytes: pending.bytes - (folder?.bytes ?? 0) };
  const rest = `${printUnpublished(own, error?.message ?? null)}\n${kept}`;
  if (folder === undefined) return rest;
  const counted = pending.isUncounted === true ? { ...folder, files: 0 } : folder;
  return own.files > 0 ? `${rest}\n${folderText(counted, held)}` : folderText(counted, held);
}

function folderText(
  { folder, files, bytes, error }: NonNullable<UnmountReport["folder"]>,
  held: UnmountReport["guard"],
): string {
  if (held !== undefined && held !== null) {
    const command = allowCommand([{ door: "sync", folder }], held);
    return `${heldText(held)}. If that is intended, run this once the folder is synced again: ${command}`;
  }
  const why = error?.message ?? null;
  const apart = `The folder ${printText(folder)} and the bucket differ${why === null ? "." : `: ${printText(why)}`}`;
  const left = files > 0 ? printUnpublished({ files, bytes }, why, `in the folder ${printText(folder)}`) : apart;
  return `${left}\nThe next sync continues from there.`;
}

/** A door's address as people and commands name it. */
export function placeOf(door: DoorReport): string {
  if (door.door === "sync") return door.folder;
  return door.door === "mount" ? door.mount : door.url;
}
