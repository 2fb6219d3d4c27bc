/**
 * The command line as few files, made of what tsc wrote to dist/: a start loads some 90 of them where it loaded 500 modules, half
 * a millisecond each. What is optional loads on demand, in processes that stay early: an update may replace the files. Nothing is
 * minified, so that stack traces stay readable. The rest of dist/ stays: the library's modules, their types, and what tests and
 * drills import.
 */
import { readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { defineConfig, type OutputBundle } from "rolldown";

const CHUNKS = "chunks";
/** An agent of an earlier build may load one of its chunks yet. */
const KEPT_MS = 7 * 24 * 60 * 60 * 1000;

export default defineConfig({
  input: {
    main: "dist/cli/main.js",
    // Threads: each lies beside the chunk that starts it by its name.
    [`${CHUNKS}/collector-worker`]: "dist/agent/threads/collector-worker.js",
    [`${CHUNKS}/vfs-worker`]: "dist/agent/threads/vfs-worker.js",
    [`${CHUNKS}/history-worker`]: "dist/simulate/history-worker.js",
  },
  platform: "node",
  // They load what was compiled for this machine from where they lie.
  external: ["better-sqlite3", "@napi-rs/blake-hash"],
  output: {
    dir: "dist",
    entryFileNames: "[name].js",
    // Named by their content: an agent that runs never loads a chunk of another build.
    chunkFileNames: `${CHUNKS}/[name]-[hash].js`,
    sourcemap: true,
    // What many commands and threads load is one file.
    codeSplitting: { groups: [{ name: "shared", test: /dist|noble|multiformats/, minShareCount: 20 }] },
  },
  // undici needs it for HTTP/2 only, which no pool allows, and can do without it. It takes 10 ms to load.
  plugins: [
    {
      name: "no-http2",
      resolveId: (id) => (id === "node:http2" ? { id: "\0http2" } : undefined),
      load: (id) => (id === "\0http2" ? "throw new Error('HTTP/2 is not used')" : undefined),
    },
    { name: "old-chunks", writeBundle: (_, bundle) => removeOld(bundle) },
  ],
});

function removeOld(bundle: OutputBundle): void {
  rmSync(join("dist", "compiled"), { recursive: true, force: true });
  for (const name of readdirSync(join("dist", CHUNKS))) {
    const path = join("dist", CHUNKS, name);
    if (!(`${CHUNKS}/${name}` in bundle) && Date.now() - statSync(path).mtimeMs > KEPT_MS) rmSync(path);
  }
}
