/** All commands. Each is loaded on demand: loading all takes longer than most of them run. */
import type { Register } from "./command.ts";

const COMMANDS: Readonly<Record<string, () => Promise<{ readonly register: Register }>>> = {
  cat: () => import("./commands/cat.ts"),
  completion: () => import("./commands/completion.ts"),
  conflicts: () => import("./commands/conflicts.ts"),
  doctor: () => import("./commands/doctor.ts"),
  flush: () => import("./commands/flush.ts"),
  free: () => import("./commands/free.ts"),
  gc: () => import("./commands/gc.ts"),
  get: () => import("./commands/get.ts"),
  init: () => import("./commands/init.ts"),
  key: () => import("./commands/key.ts"),
  log: () => import("./commands/log.ts"),
  ls: () => import("./commands/ls.ts"),
  man: () => import("./commands/man.ts"),
  merge: () => import("./commands/merge.ts"),
  migrate: () => import("./commands/migrate.ts"),
  "migrate-store": () => import("./commands/migrate-store.ts"),
  mount: () => import("./commands/mount.ts"),
  mv: () => import("./commands/mv.ts"),
  pause: () => import("./commands/pause.ts"),
  pin: () => import("./commands/pin.ts"),
  policy: () => import("./commands/policy.ts"),
  put: () => import("./commands/put.ts"),
  rescue: () => import("./commands/rescue.ts"),
  restore: () => import("./commands/restore.ts"),
  resume: () => import("./commands/resume.ts"),
  rm: () => import("./commands/rm.ts"),
  serve: () => import("./commands/serve.ts"),
  service: () => import("./commands/service.ts"),
  simulate: () => import("./commands/simulate.ts"),
  status: () => import("./commands/status.ts"),
  sync: () => import("./commands/sync.ts"),
  token: () => import("./commands/token.ts"),
  unlock: () => import("./commands/unlock.ts"),
  unpin: () => import("./commands/unpin.ts"),
  unmount: () => import("./commands/unmount.ts"),
  upgrade: () => import("./commands/upgrade.ts"),
  webdav: () => import("./commands/webdav.ts"),
  verify: () => import("./commands/verify.ts"),
};

/** The commands that this command line may mean: the one that it starts with, none for --version, or else all, for help. */
export async function commandsFor(args: readonly string[]): Promise<Register[]> {
  const [first = ""] = args;
  if (first === "--version") return [];
  const only = Object.hasOwn(COMMANDS, first) ? COMMANDS[first] : undefined;
  const modules = await Promise.all((only === undefined ? Object.values(COMMANDS) : [only]).map((load) => load()));
  return modules.map(({ register }) => register);
}
