/** What this machine can and cannot do, with advice: the findings of `syncline doctor`. Read-only. */
import { accessSync, constants, existsSync, readFileSync, statfsSync, statSync } from "node:fs";
import { release } from "node:os";
import { dirname, join } from "node:path";
import { MOUNT_TYPE } from "../fuse/mount-table.ts";
import { nodeProblem } from "../runtime/node-version.ts";

export interface Finding {
  readonly what: string;
  readonly state: "good" | "limited" | "bad";
  readonly detail: string;
  /** What to do about it; absent when nothing is needed. */
  readonly advice?: string;
}

export interface DoctorInput {
  readonly env: NodeJS.ProcessEnv;
  readonly stateRoot: string;
  readonly keyFile: string;
  /** Loads the FUSE addon; throws when it cannot. */
  readonly loadAddon: () => void;
}

export function examine(input: DoctorInput): Finding[] {
  const mounts = isLinux() ? [fuseDevice(), addon(input), privilege(), handOver(release()), ...indexers()] : [];
  return [node(), kernel(), ...mounts, state(input.stateRoot), key(input)];
}

function isLinux(): boolean {
  return process.platform === "linux";
}

function node(): Finding {
  const [what, detail] = ["Node.js", process.version];
  const problem = nodeProblem(process.versions);
  return problem === undefined ? { what, state: "good", detail } : { what, state: "bad", detail, advice: problem.hint };
}

function kernel(): Finding {
  const what = "system";
  if (!isLinux()) {
    const advice = "Mounting needs Linux. On this system, use webdav, sync and the commands that work on a bucket.";
    return { what, state: "limited", detail: `${process.platform}: mounts are not supported`, advice };
  }
  return { what, state: "good", detail: `Linux ${release()}` };
}

/** How the next agent gets a killed one's requests. From Linux 6.9 on, the kernel sends them again (FUSE_HAS_RESEND). */
export function handOver(version: string): Finding {
  const what = "killed agents";
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const resends = major > 6 || (major === 6 && minor >= 9);
  const how = resends ? "the kernel sends their requests again" : "their requests are kept in memory";
  return { what, state: "good", detail: `are replaced while programs wait: ${how}` };
}

const UPDATEDB = "/etc/updatedb.conf";

function indexers(): Finding[] {
  return existsSync(UPDATEDB) ? [pruning(readFileSync(UPDATEDB, "utf8"))] : [];
}

/** Whether updatedb, the indexer of locate(1), skips mounts. `conf` is the text of updatedb.conf(5). */
export function pruning(conf: string): Finding {
  const what = "updatedb";
  const [, types] = /^[ \t]*PRUNEFS[ \t]*=[ \t]*"([^"\n]*)"/m.exec(conf) ?? [];
  const isPruned = types?.split(/\s+/).some((type) => type.toLowerCase() === MOUNT_TYPE) === true;
  if (isPruned) return { what, state: "good", detail: "skips mounts" };
  return {
    what,
    state: "limited",
    detail: "walks through every mount and fetches all its directories",
    advice:
      types === undefined
        ? `As root: echo 'PRUNEFS="${MOUNT_TYPE}"' >> ${UPDATEDB}`
        : `As root: sed -i 's/^[ \\t]*PRUNEFS[ \\t]*=[ \\t]*"/&${MOUNT_TYPE} /' ${UPDATEDB}`,
  };
}

function fuseDevice(): Finding {
  const what = "/dev/fuse";
  if (!existsSync("/dev/fuse"))
    return { what, state: "bad", detail: "is missing", advice: "Run as root: modprobe fuse" };
  try {
    accessSync("/dev/fuse", constants.R_OK | constants.W_OK);
    return { what, state: "good", detail: "can be opened" };
  } catch {
    return {
      what,
      state: "bad",
      detail: "cannot be opened for reading and writing",
      advice: "As root: chmod 666 /dev/fuse, or add this user to its group.",
    };
  }
}

function addon({ loadAddon }: DoctorInput): Finding {
  const what = "FUSE addon";
  try {
    loadAddon();
    return { what, state: "good", detail: "loads" };
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    return { what, state: "bad", detail, advice: "Build it: npm run build:native (needs g++, make and python3)." };
  }
}

const HELPER = "fusermount3";
const HELPER_PLACES = ["/usr/bin", "/bin", "/usr/local/bin"];

function privilege(): Finding {
  const what = "mounting";
  if (process.getuid?.() === 0) return { what, state: "good", detail: "as root" };
  if (HELPER_PLACES.some((folder) => existsSync(join(folder, HELPER)))) {
    return { what, state: "good", detail: `as an ordinary user, through ${HELPER}` };
  }
  return {
    what,
    state: "bad",
    detail: `${HELPER}, which mounts for ordinary users, is missing`,
    advice: "Install Debian's package fuse3, or mount as root.",
  };
}

function state(root: string): Finding {
  const what = "state folder";
  let folder = root;
  while (!existsSync(folder) && dirname(folder) !== folder) folder = dirname(folder);
  try {
    accessSync(folder, constants.W_OK);
  } catch {
    return {
      what,
      state: "bad",
      detail: `${folder} is not writable`,
      advice: "Set --state or XDG_STATE_HOME to a folder you can write to.",
    };
  }
  if (!statSync(folder).isDirectory()) {
    return { what, state: "bad", detail: `${folder} is a file`, advice: "Set --state or XDG_STATE_HOME to a folder." };
  }
  const { bavail, bsize } = statfsSync(folder);
  const freeGiB = (bavail * bsize) / 2 ** 30;
  const detail = `${root}, ${freeGiB.toFixed(1)} GiB free`;
  if (freeGiB >= 1) return { what, state: "good", detail };
  return {
    what,
    state: "limited",
    detail,
    advice: "Free some disk space: unpublished writes and the cache are stored there.",
  };
}

function key({ keyFile, env }: DoctorInput): Finding {
  const what = "wallet key";
  if (env["SYNCLINE_KEY"] !== undefined) return { what, state: "good", detail: "from SYNCLINE_KEY" };
  if (!existsSync(keyFile)) return { what, state: "good", detail: `none yet: ${keyFile} is created when first needed` };
  const open = (statSync(keyFile).mode & 0o077) !== 0 && process.platform !== "win32";
  if (open)
    return {
      what,
      state: "bad",
      detail: `${keyFile} is accessible to other users`,
      advice: `Run: chmod 600 ${keyFile}`,
    };
  try {
    const { address } = JSON.parse(readFileSync(keyFile, "utf8")) as { address?: string };
    return {
      what,
      state: "good",
      detail: `${keyFile}${address === undefined ? "" : `, wallet 0x${address.replace(/^0x/, "")}`}`,
    };
  } catch {
    return {
      what,
      state: "bad",
      detail: `${keyFile} is not a keystore`,
      advice: "Restore the right file, or import the key again.",
    };
  }
}
