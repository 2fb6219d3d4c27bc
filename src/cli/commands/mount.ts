/** `syncline mount`: serves a bucket at a directory, in the foreground or background. */
import type { DoorReport } from "../../agent/doors/doors.ts";
import { canonicalMount, mountInState, stateRoot } from "../../agent/state/state-dir.ts";
import { parseAddress, pinnedUrl } from "../../bucket/address.ts";
import { INDEX_PROGRAMS } from "../../fuse/index-programs.ts";
import { AGENT_OPTIONS, runAgent } from "./agent-run.ts";
import { command } from "../command.ts";
import { folderBeside, folderText, folderValue } from "./folder-door.ts";
import { ownersOf } from "./mount-owners.ts";
import { inPlace, placeTaken, withKeptFiles } from "./taking-over.ts";
import { printText } from "../terminal/text.ts";
import { WEBDAV_OPTIONS, webdavDoor, webdavText, webdavValue } from "./webdav-door.ts";

export const register = command({
  name: "mount",
  arguments: [
    ["<url>", "the bucket"],
    ["<dir>", "an empty directory"],
  ],
  summary: "mount a bucket at a directory",
  options: [
    ...AGENT_OPTIONS,
    "owner",
    "noexec",
    "acl",
    "birthTimes",
    "indexPrograms",
    "history",
    "webdav",
    ...WEBDAV_OPTIONS,
  ],
  examples: [
    "syncline mount https://master.example:3600/notes ~/notes --background",
    "syncline mount file:///srv/bucket ~/yesterday --read-only --at 2026-01-31T12:00:00Z",
    "syncline mount file:///srv/bucket ~/bucket --webdav 127.0.0.1:8888 --sync ~/work --background",
  ],
  exits: [3, 4, 5, 6, 8],
  otherwise: withKeptFiles,
  async run(given) {
    const call = inPlace(given);
    const [url = "", directory = ""] = call.args;
    const { webdav: listen, at } = call.options;
    // The canonical address gives one bucket one state; the pin stays with it.
    const address = pinnedUrl(parseAddress(url));
    const taken = placeTaken(call.runtime)?.mount;
    const mount = canonicalMount(taken ?? directory);
    const bucket = { address, old: at !== undefined };
    const inState = taken ?? mountInState(stateRoot(call.runtime.env, call.options.state), bucket, directory);
    const owners = ownersOf(call.options.owner ?? "stored", call.runtime.files);
    const named = call.options.indexPrograms ?? INDEX_PROGRAMS;
    const indexPrograms = named.filter((name) => name !== "off");
    const { history = false, birthTimes = false, acl = false, noexec = false } = call.options;
    const webdav = listen === undefined ? undefined : webdavDoor(call, listen, "--webdav");
    return runAgent(call, {
      facts: { ...bucket, mount: inState, readOnly: call.options.readOnly === true },
      folder: await folderBeside(call, address, mount),
      doors: (stateDir) => [
        { door: "mount", mount, owners, noexec, acl, indexPrograms, history, birthTimes },
        ...(webdav === undefined ? [] : [webdav(stateDir)]),
      ],
      ready: (doors: readonly DoorReport[]) => ({
        value: { mount, bucket: address, ...webdavValue(doors), ...folderValue(doors) },
        text: [
          `Mounted ${printText(address)} at ${printText(mount)}.`,
          ...webdavText(doors),
          ...folderText(doors),
        ].join(" "),
      }),
      ended: { value: { unmounted: mount }, text: `Unmounted ${printText(mount)}` },
    });
  },
});
