/**
 * The command line as few files, made of what tsc wrote to dist/: a start loads some 60 of them where it loaded 500 modules
 * (docs/decisions.md). The rest of dist/ stays: the library's modules, their types, and what tests and drills import.
 */
import { rmSync } from "node:fs";
import { defineConfig } from "rolldown";

const CHUNKS = "chunks";

// What an earlier build had by another name.
rmSync(`dist/${CHUNKS}`, { recursive: true, force: true });

export default defineConfig({
  input: {
    main: "dist/cli/main.js",
    // Threads: each lies beside the chunk that starts it by its name.
    [`${CHUNKS}/collector-worker`]: "dist/agent/collector-worker.js",
    [`${CHUNKS}/vfs-worker`]: "dist/agent/vfs-worker.js",
    [`${CHUNKS}/history-worker`]: "dist/simulate/history-worker.js",
  },
  platform: "node",
  // They load what was compiled for this machine from where they lie.
  external: ["better-sqlite3", "@napi-rs/blake-hash"],
  output: { dir: "dist", entryFileNames: "[name].js", chunkFileNames: `${CHUNKS}/[name].js`, sourcemap: true },
});
