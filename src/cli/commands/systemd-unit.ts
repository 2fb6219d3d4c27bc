/** The text of a systemd unit that runs one command line of this program, per systemd.service(5) and systemd.exec(5). */
import { DRAIN_MS } from "../../base/limits.ts";

export interface UnitFacts {
  /** The command: "mount", "sync" or "webdav", and its arguments. */
  readonly words: readonly string[];
  /** Node, its flags and the program. */
  readonly program: readonly string[];
  /** The base of relative paths. */
  readonly workingDirectory: string;
  readonly environment: ReadonlyMap<string, string>;
  /** For the machine instead of one user. */
  readonly system: boolean;
  /** How long the end waits for publishing. */
  readonly drainMs?: number | undefined;
}

/** Our units begin with this; other units are never overwritten or removed. */
export const UNIT_MARK = "# Written by: syncline service install";

/** How long an agent may take to close its doors, after it has published for as long as --drain says. */
const CLOSING_SECONDS = 60;
/** Usage, a precondition, no access, deletions awaiting approval, damage: a restart fails again until a person acts. */
const LASTING_STATUSES = [2, 4, 5, 7, 8];

export function unitText({
  words,
  program,
  workingDirectory,
  environment,
  system,
  drainMs = DRAIN_MS,
}: UnitFacts): string {
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
    `TimeoutStopSec=${Math.ceil(drainMs / 1_000) + CLOSING_SECONDS}`,
    "# The agent stops its other processes itself, in order.",
    "KillMode=mixed",
    "UMask=0077",
    ...hardening(words),
    "",
    "[Install]",
    `WantedBy=${system ? "multi-user.target" : "default.target"}`,
  ];
  return `${lines.join("\n")}\n`;
}

/** A mount must be visible to others: most hardening options give a unit its own view. */
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

/** Each byte as quoted in systemd.syntax(7): a raw newline would begin another line. */
function escaped(control: string): string {
  return [...Buffer.from(control)].map((byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("");
}
