/** All commands there are. */
import { register as registerCat } from "./cat.ts";
import { register as registerDoctor } from "./doctor.ts";
import { register as registerFlush } from "./flush.ts";
import { register as registerGet } from "./get.ts";
import { register as registerInit } from "./init.ts";
import { register as registerKey } from "./key.ts";
import { register as registerLog } from "./log.ts";
import { register as registerLs } from "./ls.ts";
import { register as registerMount } from "./mount.ts";
import { register as registerPut } from "./put.ts";
import { register as registerRestore } from "./restore.ts";
import { register as registerStatus } from "./status.ts";
import { register as registerToken } from "./token.ts";
import { register as registerUnlock } from "./unlock.ts";
import { register as registerUnmount } from "./unmount.ts";
import { register as registerVerify } from "./verify.ts";
import type { Register } from "./program.ts";

export const COMMANDS: readonly Register[] = [
  registerCat,
  registerDoctor,
  registerFlush,
  registerGet,
  registerInit,
  registerKey,
  registerLog,
  registerLs,
  registerMount,
  registerPut,
  registerRestore,
  registerStatus,
  registerToken,
  registerUnlock,
  registerUnmount,
  registerVerify,
];
