/** Deletions of a synced folder that wait for a yes, as commands tell of them. */
import type { DoorReport } from "../agent/doors.ts";
import type { AgentStatus } from "../agent/reports.ts";
import { printCount, printText } from "./text.ts";

type Held = NonNullable<AgentStatus["guard"]>;

/** "3 files would be deleted: that waits for a yes" */
export function heldText({ files }: Held): string {
  return `${printCount(files, "file")} would be deleted: that waits for a yes`;
}

/** The command that lets them through. Of an agent's doors it names one: the folder, where there is one. */
export function allowCommand(doors: readonly DoorReport[], { digest }: Held): string {
  const door = doors.find((each) => each.door === "sync") ?? doors[0];
  const place = door === undefined ? "" : `${shellWord(placeOf(door))} `;
  return `syncline flush ${place}--allow-deletes ${digest}`;
}

/** Where a door is, as people and commands name it. */
export function placeOf(door: DoorReport): string {
  if (door.door === "sync") return door.folder;
  return door.door === "mount" ? door.mount : door.url;
}

/** One word to a shell. */
function shellWord(text: string): string {
  const shown = printText(text);
  return /^[\w./:@%+=,-]+$/.test(shown) ? shown : `'${shown.replaceAll("'", "'\\''")}'`;
}
