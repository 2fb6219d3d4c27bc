/** The text of a systemd unit that runs one command line of this program, per systemd.service(5) and systemd.exec(5). */
import { DRAIN_MS } from "../../base/limits.ts";

export interface UnitFacts {
  /** The command: "mount", "sync" or "webdav", and its arguments. */
  readonly words: readonly string[];
  /** Node, its flags and the program. */
  readonly program: readonly string[];
  /** The program that runs a mount's agents. */
  readonly supervisor: string;
  /** The base of relative paths. */
  readonly workingDirectory: string;
  readonly environment: ReadonlyMap<string, string>;
  /** For the machine instead of one user. */
  readonly system: boolean;
  /** How long an ending agent publishes. */
  readonly drainMs?: number | undefined;
}

/** Our units begin with this; other units are never overwritten or removed. */
export const UNIT_MARK = "# Written by: syncline service install";

/** How long an agent may take to close its doors, after it has published for as long as --drain says. */
const CLOSING_SECONDS = 60;
/** A mount first reads its unpublished changes, which may be many. */
const START_SECONDS = 600;
/** Usage, a precondition, no access, deletions awaiting approval, damage: a restart fails again until a person acts. */
const LASTING_STATUSES = [2, 4, 5, 7, 8];

export function unitText(facts: UnitFacts): string {
  const { words, workingDirectory, environment, system, drainMs = DRAIN_MS } = facts;
  const isMount = words[0] === "mount";
  const lines = [
    UNIT_MARK,
    "[Unit]",
    `Description=Syncline: ${specifiersOff(words.join(" ").replace(/[\p{Cc}\\]/gu, "?"))}`,
    ...(system ? networkLines(isMount) : []),
    "",
    "[Service]",
    ...(isMount ? mountLines(facts) : ["Type=exec", execStart([...facts.program, ...words])]),
    `WorkingDirectory=${specifiersOff(workingDirectory)}`,
    ...[...environment].map(([name, value]) => `Environment=${quoted(specifiersOff(`${name}=${value}`))}`),
    "Restart=on-failure",
    "RestartSec=5",
    `RestartPreventExitStatus=${LASTING_STATUSES.join(" ")}`,
    `TimeoutStopSec=${Math.ceil(drainMs / 1_000) + CLOSING_SECONDS}`,
    "# The main process stops the others itself, in order.",
    "KillMode=mixed",
    "UMask=0077",
    ...(isMount ? [] : HARDENED),
    ...(isMount && system ? HARDENED_MOUNT : []),
    "",
    "[Install]",
    `WantedBy=${system ? "multi-user.target" : "default.target"}`,
  ];
  return `${lines.join("\n")}\n`;
}

/** A mount starts without a network. At a shutdown, the network stays up until the mount has stopped. */
function networkLines(isMount: boolean): string[] {
  return isMount ? ["After=network.target"] : ["Wants=network-online.target", "After=network-online.target"];
}

/** The supervisor is the service: it says when the mount is up, and starts the next agent if one dies. */
function mountLines({ supervisor, program, words }: UnitFacts): string[] {
  return [
    "Type=notify",
    "NotifyAccess=main",
    execStart([supervisor, "--service", ...program, ...words]),
    `TimeoutStartSec=${START_SECONDS}`,
    "# The supervisor replaces an agent that was killed for lack of memory.",
    "OOMPolicy=continue",
  ];
}

const HARDENED = [
  "NoNewPrivileges=yes",
  "LockPersonality=yes",
  "RestrictRealtime=yes",
  "SystemCallArchitectures=native",
];

/**
 * For a mount as root. Left out: options that give a unit its own mount namespace, which would hide the mount from everybody
 * else, and RestrictSUIDSGID=, which forbids openat2, with which folder sync stays beneath its folder. A user's mount needs
 * the set-id program fusermount3, so it can have none of these options: each implies NoNewPrivileges=.
 */
const HARDENED_MOUNT = [
  "# Add no option that creates a mount namespace: nobody else would see the mount.",
  ...HARDENED,
  "CapabilityBoundingSet=CAP_SYS_ADMIN CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_CHOWN CAP_FOWNER CAP_FSETID CAP_MKNOD",
  "CapabilityBoundingSet=CAP_SETFCAP CAP_SYS_NICE CAP_IPC_LOCK CAP_NET_BIND_SERVICE",
  "SystemCallFilter=@system-service @mount @pkey",
  "SystemCallFilter=~@keyring @setuid chroot pivot_root",
  "SystemCallErrorNumber=EPERM",
  "RestrictNamespaces=yes",
  "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK",
  "DevicePolicy=closed",
  "DeviceAllow=/dev/fuse rw",
  "ProtectClock=yes",
  "ProtectHostname=yes",
];

/** systemd replaces variables in every word but the first. */
function execStart([program = "", ...words]: readonly string[]): string {
  return `ExecStart=${[quoted(specifiersOff(program)), ...words.map(argument)].join(" ")}`;
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
