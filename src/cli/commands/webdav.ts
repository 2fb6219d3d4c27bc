/** `syncline webdav`: serves a bucket over WebDAV, without a mount; manages the app passwords for signing in. */
import { dirname } from "node:path";
import { makeFolders } from "../../runtime/make-folders.ts";
import { timeText } from "../../base/clock.ts";
import { SynclineError } from "../../base/errors.ts";
import { WEBDAV_PLACE } from "../../agent/state/state-dir.ts";
import { readStateFile, writeStateFile } from "../../agent/state/state-file.ts";
import { parseAddress, pinnedUrl } from "../../bucket/address.ts";
import { takeProcessLock } from "../../objects/process-lock.ts";
import {
  type AppPassword,
  decodePasswords,
  encodePasswords,
  makeAppPassword,
} from "../../webdav/sign-in/app-passwords.ts";
import { randomPassword } from "../../webdav/sign-in/app-passwords.ts";
import { AGENT_OPTIONS, runAgent } from "./agent-run.ts";
import { addCommand, type Program } from "../command.ts";
import { folderBeside, folderText, folderValue } from "./folder-door.ts";
import { parseListen } from "./listen.ts";
import { DEFAULT_WEBDAV_LISTEN } from "../options.ts";
import type { Runtime } from "../runtime.ts";
import { printText } from "../terminal/text.ts";
import { passwordPath, WEBDAV_OPTIONS, webdavDoor, webdavText, webdavValue } from "./webdav-door.ts";

const DEFAULT_NAME = "syncline";

export function register(program: Program): void {
  addCommand(program, {
    name: "webdav",
    arguments: [["<url>", "the bucket"]],
    summary: "serve a bucket over WebDAV, to file managers and browsers",
    options: [...AGENT_OPTIONS, "listen", ...WEBDAV_OPTIONS],
    examples: [
      "syncline webdav file:///srv/bucket",
      "syncline webdav https://master.example:3600/notes --listen 0.0.0.0:8888 --tls-self-signed --host files.example --background",
      "syncline webdav file:///srv/bucket --no-auth --read-only",
    ],
    exits: [3, 4, 5, 6, 8],
    async run(call) {
      const [url = ""] = call.args;
      const address = pinnedUrl(parseAddress(url));
      const listen = call.options.listen ?? DEFAULT_WEBDAV_LISTEN;
      const { host, port } = parseListen(listen);
      const place = `${WEBDAV_PLACE}${host.includes(":") ? `[${host}]` : host}:${port}`;
      const webdav = webdavDoor(call, listen, "--listen");
      return runAgent(call, {
        facts: { address, mount: place, old: call.options.at !== undefined, readOnly: call.options.readOnly === true },
        folder: await folderBeside(call, address),
        doors: (stateDir) => [webdav(stateDir)],
        ready: (doors) => ({
          value: { bucket: address, ...webdavValue(doors), ...folderValue(doors) },
          text: [`Serving ${printText(address)}.`, ...webdavText(doors), ...folderText(doors)].join(" "),
        }),
        ended: { value: { closed: place }, text: `Closed ${printText(place)}` },
      });
    },
  });
  addCommand(program, {
    name: "webdav password",
    arguments: [["[name]", `the name to sign in with; default: ${DEFAULT_NAME}`]],
    summary: "create an app password for WebDAV and print it once",
    options: ["digest"],
    examples: ["syncline webdav password windows-pc --digest"],
    exits: [4],
    async run({ args, options, output, runtime }) {
      const [name = DEFAULT_NAME] = args;
      const password = randomPassword(runtime.random);
      const made = timeText(runtime.clock.nowNs());
      // Hashing takes long: others may change the list meanwhile.
      const added = await makeAppPassword(name, password, made, options.digest === true, runtime.random);
      const path = change(runtime, (passwords) => {
        if (passwords.every((each) => each.name !== name)) return [...passwords, added];
        throw new SynclineError("path_exists", `A password named ${name} already exists.`, {
          hint: `Revoke it first: syncline webdav password revoke ${name}. Or choose another name.`,
        });
      });
      output.result({ name, password, file: path }, `name      ${name}\npassword  ${password}`);
      const kept =
        options.digest === true
          ? "is as good as the password for Digest: anyone who reads the file can sign in"
          : "is a hash of the password";
      output.notice(`It is not shown again. The stored entry ${kept}.`);
    },
  });
  addCommand(program, {
    name: "webdav password list",
    summary: "list the app passwords by name",
    examples: ["syncline webdav password list"],
    async run({ output, runtime }) {
      const listed = read(passwordPath(runtime)).map(({ name, made, digest }) => ({
        name,
        made,
        digest: digest !== undefined,
      }));
      const lines = listed.map(({ name, made, digest }) => `${made}  ${name}${digest ? "  (Digest too)" : ""}`);
      output.result({ passwords: listed }, lines.join("\n") || "No passwords.");
    },
  });
  addCommand(program, {
    name: "webdav password revoke",
    arguments: [["<name>", "the password to revoke"]],
    summary: "revoke an app password immediately",
    examples: ["syncline webdav password revoke windows-pc"],
    exits: [4],
    async run({ args, output, runtime }) {
      const [name = ""] = args;
      change(runtime, (passwords) => {
        const left = passwords.filter((each) => each.name !== name);
        if (left.length < passwords.length) return left;
        throw new SynclineError("no_such_path", `There is no password named ${printText(name)}.`, {
          hint: "See syncline webdav password list.",
        });
      });
      output.result({ revoked: name }, `${name} can no longer sign in.`);
    },
  });
}

function read(path: string): AppPassword[] {
  const bytes = readStateFile(path);
  return bytes === undefined ? [] : decodePasswords(bytes, path);
}

/** Changes the list, one command at a time; returns its path. Throws `state_in_use`. */
function change(runtime: Runtime, to: (passwords: readonly AppPassword[]) => readonly AppPassword[]): string {
  const path = passwordPath(runtime);
  makeFolders(dirname(path), 0o700);
  using _lock = takeProcessLock(`${path}.lock`, {
    inUse: "Another command is changing the passwords.",
    hint: "Run this one again.",
  });
  writeStateFile(path, encodePasswords(to(read(path))));
  return path;
}
