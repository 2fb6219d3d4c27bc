/** A systemd unit that runs one command line of this program: its text, as systemd.service(5) and systemd.exec(5) want it. */

export interface UnitFacts {
  /** What is run: "mount", "sync" or "webdav", and its arguments. */
  readonly words: readonly string[];
  /** Node, its flags and the program. */
  readonly program: readonly string[];
  /** What relative paths are relative to. */
  readonly workingDirectory: string;
  readonly environment: ReadonlyMap<string, string>;
  /** For the machine, and not for one user. */
  readonly system: boolean;
}

/** What units of ours begin with: no other is written over or removed. */
export const UNIT_MARK = "# Written by: syncline service install";

/** An agent publishes what is pending for a minute, and closes its doors. */
const STOP_SECONDS = 90;
/** Usage, a precondition, no way in, deletions that wait for approval, damage: the same the next time, until somebody does something. */
const LASTING_STATUSES = [2, 4, 5, 7, 8];

export function unitText({ words, program, workingDirectory, environment, system }: UnitFacts): string {
  const lines = [
    UNIT_MARK,
    "[Unit]",
    `Description=Syncline: ${specifiersOff(words.join(" ").replace(/[\p{Cc}\\]/gu, "?"))}`,
    ...(system ? ["Wants=network-online.target", "After=network-online.target"] : []),
    "",
    "[Service]",
    "Type=exec",
    `ExecStart=${[...program, ...words].map(argument).join(" ")}`,
    `WorkingDirectory=${specifiersOff(workingDirectory)}`,
    ...[...environment].map(([name, value]) => `Environment=${quoted(specifiersOff(`${name}=${value}`))}`),
    "Restart=on-failure",
    "RestartSec=5",
    `RestartPreventExitStatus=${LASTING_STATUSES.join(" ")}`,
    `TimeoutStopSec=${STOP_SECONDS}`,
    "# The agent ends its other processes itself, in order.",
    "KillMode=mixed",
    "UMask=0077",
    ...hardening(words),
    "",
    "[Install]",
    `WantedBy=${system ? "multi-user.target" : "default.target"}`,
  ];
  return `${lines.join("\n")}\n`;
}

/** A mount has to be seen by others: most of what hardens a unit gives it a view of its own. */
function hardening([command]: readonly string[]): string[] {
  if (command === "mount") return [];
  return ["NoNewPrivileges=yes", "LockPersonality=yes", "RestrictRealtime=yes", "SystemCallArchitectures=native"];
}

function argument(text: string): string {
  return quoted(specifiersOff(text).replaceAll("$", "$$$$"));
}

function specifiersOff(text: string): string {
  return text.replaceAll("%", "%%");
}

function quoted(text: string): string {
  return `"${text.replace(/["\\]/g, "\\$&").replace(/\p{Cc}/gu, escaped)}"`;
}

/** Each byte as systemd.syntax(7) spells it within quotes: a newline as it is would begin a line of its own. */
function escaped(control: string): string {
  return [...Buffer.from(control)].map((byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("");
}
