/** All commands there are. Each is loaded when it is needed: loading all of them takes longer than most of them run. */
import type { Register } from "./program.ts";

const COMMANDS: Readonly<Record<string, () => Promise<{ readonly register: Register }>>> = {
  cat: () => import("./cat.ts"),
  completion: () => import("./completion.ts"),
  conflicts: () => import("./conflicts.ts"),
  doctor: () => import("./doctor.ts"),
  flush: () => import("./flush.ts"),
  gc: () => import("./gc.ts"),
  get: () => import("./get.ts"),
  init: () => import("./init.ts"),
  key: () => import("./key.ts"),
  log: () => import("./log.ts"),
  ls: () => import("./ls.ts"),
  man: () => import("./man.ts"),
  merge: () => import("./merge.ts"),
  mount: () => import("./mount.ts"),
  policy: () => import("./policy.ts"),
  put: () => import("./put.ts"),
  restore: () => import("./restore.ts"),
  serve: () => import("./serve.ts"),
  service: () => import("./service.ts"),
  simulate: () => import("./simulate.ts"),
  status: () => import("./status.ts"),
  sync: () => import("./sync.ts"),
  token: () => import("./token.ts"),
  unlock: () => import("./unlock.ts"),
  unmount: () => import("./unmount.ts"),
  webdav: () => import("./webdav.ts"),
  verify: () => import("./verify.ts"),
};

/** The commands that this command line may mean: the one that it begins with, else all, as help needs them. */
export async function commandsFor(args: readonly string[]): Promise<Register[]> {
  const [first = ""] = args;
  const only = Object.hasOwn(COMMANDS, first) ? COMMANDS[first] : undefined;
  const modules = await Promise.all((only === undefined ? Object.values(COMMANDS) : [only]).map((load) => load()));
  return modules.map(({ register }) => register);
}
