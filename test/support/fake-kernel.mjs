// Serves descriptor 3, a socket whose other end plays the kernel, and answers each request with the cells given as [cell, value] pairs.
import { createRequire } from "node:module";

const addon = createRequire(import.meta.url)("#fuse-addon");
const cells = JSON.parse(process.argv[2] ?? "[]");
const ROW_CELLS = 32;

const settings = {
  attributeTimeoutS: 1,
  entryTimeoutS: 1,
  negativeTimeoutS: 1,
  blockSize: 4096,
  followClient: 0,
  spinUs: 0,
};
const session = addon.serve(3, addon.createRequestSlots(), settings, {
  onBatch(count, ...names) {
    const requests = Array.from({ length: count }, (_, row) => {
      const at = row * ROW_CELLS;
      const request = Array.from(session.cells.subarray(at, at + 16));
      for (const [cell, value] of cells) session.cells[at + cell] = Number(value);
      return request;
    });
    process.send({ requests, names });
  },
  onForgotten() {},
  onEnd(errno) {
    session.close();
    process.send({ end: errno }, () => process.exit());
  },
});
session.watch(7, 0);
