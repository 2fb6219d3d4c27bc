// An agent that takes over the requests on descriptor 3 (unanswered.py), and prints them in the order in which JavaScript gets them: the
// offsets of writes, and the opcodes of others.
import { createRequire } from "node:module";

const addon = createRequire(import.meta.url)("#fuse-addon");
const ROW_CELLS = 32;
const WRITE = 16;
const KIND = 16;
const ERROR = 1;
const DEFERRED = 12;
const COUNT = 102;

const settings = { attributeTimeoutS: 1, entryTimeoutS: 1, negativeTimeoutS: 1, blockSize: 4096, spinUs: 0 };

/** Serves until all requests have come; returns what they are. `kind`: of each answer. */
function serve(device, memory, kind) {
  const shown = [];
  return new Promise((resolve) => {
    const session = addon.serve(device, memory, settings, {
      onBatch(count) {
        for (let at = 0; at < count * ROW_CELLS; at += ROW_CELLS) {
          const [opcode, offset] = [session.cells[at], session.cells[at + 7]];
          shown.push(opcode === WRITE ? offset : `opcode ${opcode}`);
          session.cells[at + KIND] = kind;
        }
        session.flush();
        if (shown.length === COUNT) resolve(shown);
      },
      onForgotten() {},
      onEnd() {},
    });
    if (process.argv[2] === "resend") session.resend();
    else session.keepRequests();
  });
}

const memory = addon.createMountMemory();
let shown = await serve(3, memory, process.argv[2] === "resend" ? ERROR : DEFERRED);
if (process.argv[2] !== "resend") shown = await serve(4, memory, ERROR);
process.stdout.write(JSON.stringify(shown), () => process.exit());
