// Serves descriptor 3, a socket whose other end plays the kernel, and answers each request with the cells given as [cell, value] pairs.
// With a fate, it serves in a worker, which stops at the first request: it has the cells by then, but sends nothing.
import { createRequire } from "node:module";
import { isMainThread, parentPort, Worker } from "node:worker_threads";

const cells = JSON.parse(process.argv[2] ?? "[]");
const fate = process.argv[3];
const ROW_CELLS = 32;

if (fate !== undefined && isMainThread) {
  const worker = new Worker(new URL(import.meta.url), { argv: process.argv.slice(2) });
  worker.on("message", (message) => process.send(message));
  worker.once("exit", () => process.exit());
} else serve(parentPort === null ? process.send.bind(process) : parentPort.postMessage.bind(parentPort));

function serve(tell) {
  const addon = createRequire(import.meta.url)("#fuse-addon");
  const settings = { attributeTimeoutS: 1, entryTimeoutS: 1, negativeTimeoutS: 1, blockSize: 4096, spinUs: 0 };
  const session = addon.serve(3, addon.createMountMemory(), settings, {
    onBatch(count, ...names) {
      const requests = Array.from({ length: count }, (_, row) => {
        const at = row * ROW_CELLS;
        const request = Array.from(session.cells.subarray(at, at + 16));
        for (const [cell, value] of cells) session.cells[at + cell] = Number(value);
        return request;
      });
      tell({ requests, names });
      if (fate !== undefined) process.exit();
      session.flush();
    },
    onForgotten() {},
    onEnd(errno) {
      session.close();
      tell({ end: errno }, () => process.exit());
    },
  });
  session.watch(7, 0);
  if (fate === "leaves to the next") session.leaveToSupervisor();
}
